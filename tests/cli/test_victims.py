"""`proofglass victims check`: what it prints, and the exit code that a script can rely on."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from proofglass import registry
from proofglass import victims as victims_table
from proofglass.victims import sanity
from scripted_victims import Loss, Scripted


@dataclass
class Uphill(Scripted):
    """A victim whose gradient is turned round (factor -1)."""

    loss: Loss = lambda x, names: 1 + ((x - 0.3) ** 2).flatten(1).mean(1)
    image_size: tuple[int, int] | None = None
    factor: float = 1.0
    label: str = ""

    def __post_init__(self) -> None:
        self.grad = lambda grad: self.factor * grad
        self.answer = lambda ask: self.label or "sure"


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setitem(victims_table.CONTENTS, "scripted", f"{__name__}:Uphill")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Uphill.__module__])
    return registry.entry("victims", "scripted")


def test_a_testbed_victim_passes_and_its_gradient_path_is_shown(proofglass):
    code, out, err = proofglass("victims", "check", "testbed-linear", "--samples", "1")
    assert code == 0
    assert err == "testbed-linear: loading it, then up to 14 checks on 1 sample, each shown when it is done\n"
    page = (Path(__file__).parents[2] / "docs" / "sanity.md").read_text()
    marks = ("ok  ", "?  ", "FAILED  ")
    assert [line for line in page.splitlines() if line.startswith(marks)] == [
        line for line in out.splitlines() if line.startswith(marks)
    ]
    assert out.count("ok  ") == 13  # six of the adapter, seven of the gradient
    assert out.startswith("?  token ids")  # the testbed has no official processor to compare with
    assert "gradient path: plain: one pair per picture" in out


def test_each_finding_is_shown_before_the_next_is_made(proofglass, scripted, monkeypatch):
    from proofglass.cli import victims

    order = []
    real = sanity.loss_repeats
    monkeypatch.setattr(sanity, "loss_repeats", lambda probe: (order.append("made the second"), real(probe))[1])
    monkeypatch.setattr(victims, "say", lambda text: order.append(text.splitlines()[0]))
    proofglass("victims", "check", "scripted", "--samples", "1")
    assert order[:3] == ["ok  replies repeat", "made the second", "ok  loss repeats"]


def test_json_holds_every_finding(proofglass, scripted):
    code, out, _ = proofglass("victims", "check", "scripted", "--samples", "2", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["victim"] == "scripted"
    assert [set(each) for each in told["findings"]] == [{"check", "ok", "measured", "meaning"}] * 7
    assert all(each["ok"] is True for each in told["findings"]), told


def test_a_failed_check_is_named_and_ends_with_code_1(proofglass, scripted):
    code, out, err = proofglass("victims", "check", "scripted", "--set", "factor=-1", "--samples", "2")
    assert code == 1
    assert "FAILED  slope agrees" in out
    assert "3 of 7 checks failed: slope agrees, loss moves, gradient wins" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("testbed-linaer",), "Did you mean"),
        (("testbed-linear", "--set", "batch"), "expected FIELD=VALUE"),
        (("hf",), "victim hf: needs --set path=VALUE"),
        (("testbed-linear", "--set", "colour=red"), "colour"),
        (("testbed-lm-aligned", "--samples", "1"), "testbed-lm-aligned: takes text only"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_code_2(proofglass, words, message):
    code, out, err = proofglass("victims", "check", *words)
    assert (code, out) == (2, "")
    *before, line = err.splitlines()
    assert message in line
    assert line.startswith("proofglass: ")
    assert all("each shown when it is done" in said for said in before)


def test_help_says_what_the_checks_are_for(proofglass):
    code, out, _ = proofglass("victims", "check", "--help")
    assert code == 0
    for words in ("gradient masking", "Exit code 1", "--set", "Examples:"):
        assert words in " ".join(out.split())
