"""`proofglass labels`: what it says, and its exit codes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import scripted_plugs as plugs
from proofglass import api

pytestmark = pytest.mark.filterwarnings("ignore:measure:UserWarning")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    api.measure(plugs.EchoVictim(), plugs.Plain(), plugs.Lines(n=100), judges=[plugs.SaysYes()], out=tmp_path / "run")
    return tmp_path / "run"


def test_a_plan_says_the_split_the_interval_and_the_way_on(proofglass, run: Path) -> None:
    code, out, err = proofglass("labels", "plan", str(run), "--judge", "not-refused", "--budget", "80")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "echo" in lines[0]
    assert "(cell " in lines[0]
    assert any("yes: " in line and "labels, " in line and "of them now, 0 are there" in line for line in lines)
    assert any("to expect with 80 labels: " in line and "points wide (as many labels without" in line for line in lines)
    sheet = run / "labels" / "not-refused.csv"
    assert lines[-2] == f"sheet: {sheet}, 20 rows; write 1 into its column 'not-refused' for: not refused; else 0"
    assert lines[-1] == f"then: proofglass labels add {run} {sheet}, and plan again"
    assert len(list(csv.reader(sheet.read_text().splitlines()))) == 21


def test_bad_rows_end_with_one_and_the_others_are_taken(proofglass, run: Path) -> None:
    proofglass("labels", "plan", str(run), "--judge", "not-refused", "--budget", "40", "--no-pilot")
    sheet = run / "labels" / "not-refused.csv"
    head, *rows = list(csv.reader(sheet.read_text().splitlines()))
    with sheet.open("w", newline="") as file:
        csv.writer(file).writerows([head, *([*row[:-1], "1"] for row in rows[1:]), [*rows[0][:-1], "perhaps"]])
    code, out, err = proofglass("labels", "add", str(run), str(sheet))
    assert code == 1
    assert f"{sheet}:41: not-refused: expected 1 or 0 (yes, no), found 'perhaps'" in err
    assert "not-refused: 39 labels taken, 0 of them changed; 0 rows are still empty" in out


def test_what_cannot_be_done_is_one_line(proofglass, run: Path, tmp_path: Path) -> None:
    code, _, err = proofglass("labels", "plan", str(run), "--judge", "nobody")
    assert (code, err.count("\n")) == (2, 1)
    code, _, err = proofglass("labels", "add", str(run), str(tmp_path / "none.csv"))
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot be read as CSV" in err
