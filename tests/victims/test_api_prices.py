"""Prices of the API victim: shipped ones, the user's, wrong ones and unknown ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofglass.errors import UsageError
from proofglass.victims.api import prices
from proofglass.victims.api.prices import Price


def test_money_is_tokens_times_price() -> None:
    price = Price(input=2.0, output=10.0, cached=0.5, cache_write=2.5)
    # (1000 x 2 + 100 x 10 + 400 x 0.5 + 200 x 2.5) / 1e6
    assert price.money(1000, 100, 400, 200) == pytest.approx(0.0037)
    assert Price(input=2.0, output=10.0).money(0, 0, 400, 200) == pytest.approx(0.0012), "as input, if not listed"


def test_the_shipped_prices_are_whole() -> None:
    import yaml

    for name in yaml.safe_load(prices.SHIPPED.read_text())["models"]:
        price = prices.find(name)
        assert price is not None
        assert price.input > 0
        assert price.output >= price.input
        assert price.source.startswith("https://")
        assert price.date


def test_the_users_prices_come_first_and_the_shipped_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("# mine\nmodels:\n  openai/gpt-4o: {input: 1, output: 2}\n  vllm/x: {input: 0, output: 0}\n")
    for found in (lambda name: prices.find(name, mine), prices.find):
        assert found("openai/gpt-4o") == Price(input=1, output=2)
        assert found("vllm/x") == Price(input=0, output=0)
        assert found("anthropic/claude-opus-5").input == 5.0
        assert found("openai/gpt-none") is None
        monkeypatch.setenv(prices.VARIABLE, str(mine))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("models:\n  m/x: {input: 1}\n", "m/x: found {'input': 1}. Expected input and output"),
        ("models:\n  m/x: {input: 1, output: -2}\n", "m/x.output: found -2. Expected a number, 0 or more"),
        ("models:\n  m/x: {input: 1, output: dear}\n", "m/x.output: found 'dear'"),
        ("models:\n  m/x: {input: .nan, output: 1}\n", "m/x.input: found nan"),  # no sum of it exceeds a budget
        ("models:\n  m/x: {input: 1, output: .inf}\n", "m/x.output: found inf"),
        ("models:\n  m/x: {input: 1, output: 2, colour: 3}\n", "Expected input and output, and of cached"),
        ("prices: {}\n", "found no `models:`"),
        ("models: [\n", "no YAML"),
    ],
)
def test_a_wrong_price_names_file_and_field(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        prices.find("m/x", path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_an_unknown_price_names_file_and_line_to_add(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("# a comment\n\nmodels:\n  m/x: {input: 1, output: 2}\n")
    with pytest.raises(UsageError, match=r"Add the line `  m/y: \{input: USD, output: USD\}` after line 3, `models:`"):
        prices.needed("m/y", path)
    with pytest.raises(UsageError, match="PROOFGLASS_PRICES"):
        prices.needed("m/y")
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read: No such file"):
        prices.find("m/x", tmp_path / "none.yaml")
