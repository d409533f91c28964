"""Every metric equals its reference on a thousand random cases, and the comparison finds one that does not."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
import metrics as command
from metrics_parts.compared import Comparison
from metrics_parts.held import hold

CASES = 1000
EVERY = {each.name: each for each in command.comparisons()}


@pytest.mark.parametrize("name", EVERY)
def test_a_metric_equals_its_reference(name: str) -> None:
    held = hold(EVERY[name], CASES, seed=13)
    assert held.n >= 1000
    assert held.worst <= held.tolerance, held.case


def test_every_comparison_has_a_name_of_its_own() -> None:
    assert len(EVERY) == len(command.comparisons())
    assert {"accuracy", "macro-F1", "AUROC", "WInToRe", "SSIM, wang", "PSNR"} <= set(EVERY)


SOUND = Comparison(
    "half", "numpy", lambda draw, n: [draw.random() for _ in range(n)], lambda x: x / 2, lambda x: x * 0.5
)


@pytest.mark.parametrize(
    ("wrong", "worst"),
    [(lambda x: x / 2 + 1e-6 * (x > 0.9), 1e-6), (lambda x: math.nan, math.inf), (lambda x: math.inf, math.inf)],
)
def test_what_is_not_equal_is_found(wrong, worst) -> None:
    assert hold(SOUND, 200, 0).holds
    broken = hold(dataclasses.replace(SOUND, ours=wrong), 200, 0)
    assert not broken.holds
    assert broken.worst == pytest.approx(worst)
    assert "ours" in broken.case


def test_neither_having_a_number_is_equal_and_a_short_list_of_cases_is_none() -> None:
    assert hold(dataclasses.replace(SOUND, ours=lambda x: math.nan, theirs=lambda x: math.nan), 9, 0).worst == 0
    assert hold(dataclasses.replace(SOUND, ours=lambda x: math.inf, theirs=lambda x: math.inf), 9, 0).worst == 0
    with pytest.raises(ValueError, match="half: expected 9 cases, found 0"):
        hold(dataclasses.replace(SOUND, cases=lambda draw, n: []), 9, 0)


def test_the_command_prints_the_table_and_fails_where_one_differs(monkeypatch, capsys, tmp_path) -> None:
    broken = dataclasses.replace(SOUND, name="off", ours=lambda x: x)
    monkeypatch.setattr(command, "comparisons", lambda: [SOUND, broken])
    assert command.main(["half", "--n", "20", "--json", str(tmp_path / "t.json")]) == 0
    assert json.loads((tmp_path / "t.json").read_text())[0]["holds"]
    assert command.main(["--n", "20"]) == 1
    assert command.main(["nothing"]) == 2
    told = capsys.readouterr().out
    assert "numpy" in told
    assert "above its tolerance at" in told
