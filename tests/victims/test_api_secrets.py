"""Keys of the API victim are written nowhere, and what is missing or cannot be is named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="needs the extra api: pip install inspect-ai openai")
pytest.importorskip("openai", reason="needs the extra api: pip install inspect-ai openai")

from proofglass.errors import MissingExtra, NothingMeasured, UsageError
from proofglass.victims.inspect import ApiVictim
from victims import api_study
from victims.api_victims import answer, asks, saying, victim
from victims.flaky_server import Flaky

KEY = "sk-test-0123456789abcdef"


def test_a_wrong_key_ends_the_batch_and_is_written_nowhere(
    server: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", KEY)
    server.key = "another key"
    with pytest.raises(NothingMeasured) as caught:
        api_study.run(server.url, str(tmp_path / "run"), 20, auth_env="MY_TOKEN", connections=2)  # type: ignore[attr-defined]
    assert "the API refuses every ask: 401: Incorrect API key provided: ***." in str(caught.value)
    assert server.authorised == {f"Bearer {KEY}"}
    assert server.stats()["requests"] <= 2, "asks went on after the key was refused"
    assert_absent(KEY, tmp_path)


def test_a_right_key_is_written_nowhere(server: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", KEY)
    server.key, server.faults = KEY, {"500": 0.2, "filter-400": 0.2}
    api_study.run(server.url, str(tmp_path / "run"), 10, auth_env="MY_TOKEN", cache=tmp_path / "cache")  # type: ignore[attr-defined]
    assert server.stats()["answered"] > 0
    assert any((tmp_path / "cache").rglob("*.json"))
    assert_absent(KEY, tmp_path)


def test_a_key_that_a_server_repeats_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", KEY)
    with saying(answer(f"your key is {KEY}", model=f"m-{KEY}")) as server:
        asked = victim(server, auth_env="MY_TOKEN", ledger=tmp_path / "ledger", cache=tmp_path / "cache")
        (reply,) = asked.reply(asks(1))
    assert reply.text == "your key is ***"
    assert asked.card()["reported_models"] == {"m-***": 1}
    assert_absent(KEY, tmp_path)


@pytest.mark.parametrize("key", ["sk-line\nbreak-0123", "sk-\N{EURO SIGN}-0123456789", "sk-carriage-return\r"])
def test_a_key_that_no_header_holds_is_said_before_anything_is_sent(
    server: Flaky, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("MY_TOKEN", key)
    with pytest.raises(UsageError, match="MY_TOKEN: expected ASCII") as caught:
        victim(server, auth_env="MY_TOKEN").reply(asks(1))
    assert key not in str(caught.value)
    assert server.stats()["requests"] == 0


def assert_absent(secret: str, folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert secret.encode() not in path.read_bytes(), path


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ACME_API_KEY", "VLLM_BASE_URL", "NO_SUCH_KEY"):
        monkeypatch.delenv(name, raising=False)
    wanted = {
        "openai/gpt-4o": "no API key. Set the environment variable OPENAI_API_KEY",
        "openai-api/acme/x": "no API key. Set the environment variable ACME_API_KEY",
        "vllm/x": "set VLLM_BASE_URL",
        "nobody/x": "Expected provider/model",
    }
    for model, told in wanted.items():
        with pytest.raises(UsageError, match=told):
            ApiVictim(model).reply(asks(1))
    with pytest.raises(UsageError, match="NO_SUCH_KEY"):
        ApiVictim("openai/gpt-4o", auth_env="NO_SUCH_KEY").reply(asks(1))


@pytest.mark.parametrize(("package", "model"), [("inspect_ai.model", "openai/gpt-4o"), ("openai", "openai/gpt-4o")])
def test_a_missing_package_is_named_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch, package: str, model: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"pip install .*openai"):
        ApiVictim(model).reply(asks(1))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": "gpt-4o"}, "model: expected provider/name"),
        ({"model": "a/b", "base_url": "127.0.0.1:8000"}, "base_url: expected an address"),
        ({"model": "a/b", "base_url": "http://me:secret@host/v1"}, "base_url: expected no user or password"),
        ({"model": "a/b", "auth_env": KEY}, "auth_env: expected the name of an environment variable"),
        ({"model": "a/b", "connections": 0}, "connections: expected at least 1"),
        ({"model": "a/b", "budget_calls": 0}, "budget_calls: expected more than 0"),
        ({"model": "a/b", "budget_usd": float("nan")}, "budget_usd: expected more than 0, found nan"),
        ({"model": "a/b", "attempts": float("nan")}, "attempts: expected at least 1, found nan"),
    ],
)
def test_a_field_that_cannot_be_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ApiVictim(**fields)


def test_an_unknown_option_is_refused_before_anything_is_sent(server: Flaky) -> None:
    for name in ("colour", "max_retries", "temperature"):
        with pytest.raises(UsageError, match=f"options.{name}: no such option here"):
            victim(server, options={name: 1}).reply(asks(1))
    assert server.stats()["requests"] == 0


def test_a_budget_in_dollars_needs_a_price() -> None:
    with pytest.raises(UsageError, match="no price of 'vllm/x', and budget_usd is set"):
        ApiVictim("vllm/x", budget_usd=1.0)
