"""A search in a study: judge and helper by name, every ask in the journal, what it came to as metrics."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from proofglass import api
from proofglass.errors import NothingMeasured, UsageError
from proofglass.records.store import Store
from proofglass.studies.plan import expand
from proofglass.studies.study import Study
from proofglass.types.tries import Tries
from scripted_study import TESTS, asked, run, tables

STUDY = """\
name: searches
seed: 7
chunk: 2
settings: {max_new_tokens: 8}
victims: [echo: {log: LOG}]
attacks:
  - no-attack
  - best-of-n-text: {n: 6, judge: {target-string: {target: "yes"}}}
  - sasp: {judge: {target-string: {target: "yes"}}, helper: {echo: {sees_images: false, log: HELPER}}, theft: [say it]}
datasets: [lines: {n: 4}]
judges: [target-string: {target: "yes"}]
metrics: [rate, first-query-success, best-of-budget-success, best-of-n-forecast]
"""


KILLED = """
import sys; sys.path.insert(0, sys.argv[1])
import scripted_plugs; scripted_plugs.register()
from proofglass.studies import run_study, located
from proofglass.studies.study import parse
run_study(parse(located.parse(sys.argv[2], "study.yaml")), sys.argv[3], progress=False)
"""


@pytest.fixture(autouse=True)
def _here(scripted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def text(tmp_path: Path) -> str:
    return STUDY.replace("LOG", str(tmp_path / "log")).replace("HELPER", str(tmp_path / "helper"))


def ran(study: Study, out: Path) -> Store:
    """The records of a run in which `sasp` measures nothing: its helper echoes."""
    with pytest.raises(NothingMeasured, match=r"sasp.*holds no <prompt>"):
        run(study, out)
    return Store(out)


def test_tries_stand_in_the_records_and_a_rerun_asks_nothing(study, tmp_path: Path) -> None:
    made = study(text(tmp_path))
    store = ran(made, tmp_path / "run")
    rows = store.frame().to_dicts()
    tried = [Tries.read(row["reason"]) for row in rows if row["attack"] == "best-of-n-text"]
    assert all(tried)
    assert [each.tries for each in tried] == [row["queries"] for row in rows if row["attack"] == "best-of-n-text"]
    assert all(("yes" in row["reply"]) == bool(each.successes) for row, each in zip(
        [row for row in rows if row["attack"] == "best-of-n-text"], tried, strict=True)
    )  # fmt: skip
    # A helper that echoes proposes nothing: the samples fail, each with its reason, and nothing else is lost.
    failed = [row for row in rows if row["attack"] == "sasp"]
    assert {row["outcome"] for row in failed} == {"error"}
    assert all("round 1: the helper's answer holds no <prompt>" in row["reason"] for row in failed)
    assert [json.loads(row["helpers"]) != {} for row in failed] == [True] * 4
    lines = asked(tmp_path / "log"), asked(tmp_path / "helper")
    assert len(lines[1]) == 4 * 3
    before = tables(store)
    assert tables(ran(made, tmp_path / "run")) == before
    assert (asked(tmp_path / "log"), asked(tmp_path / "helper")) == lines


def test_a_killed_search_goes_on_and_pays_nothing_twice(study, tmp_path: Path) -> None:
    whole = ran(study(text(tmp_path)), tmp_path / "whole")
    once = sorted(asked(tmp_path / "log")), sorted(asked(tmp_path / "helper"))
    (tmp_path / "log").unlink()
    (tmp_path / "helper").unlink()
    mortal = text(tmp_path).replace("echo: {log: ", "echo: {die_at: 6, log: ", 1)
    command = [sys.executable, "-c", KILLED, str(TESTS), mortal, str(tmp_path / "again")]
    died = subprocess.run(command, capture_output=True, text=True)
    assert died.returncode == -9, died.stderr
    assert 0 < len(asked(tmp_path / "log")) < len(once[0])
    again = ran(study(text(tmp_path)), tmp_path / "again")
    assert again.frame().to_dicts() == whole.frame().to_dicts()
    assert (sorted(asked(tmp_path / "log")), sorted(asked(tmp_path / "helper"))) == once


def test_metrics_of_searches_have_rows_for_searches_only(study, tmp_path: Path) -> None:
    ran(study(text(tmp_path)), tmp_path / "run")
    found = {(each["metric"], each["attack"]) for each in api.Run(tmp_path / "run").metrics()}
    names = {"first-query-success", "best-of-budget-success", "best-of-n-forecast"}
    assert {name for name, attack in found if attack == "best-of-n-text"} >= names
    assert not {name for name, attack in found if attack == "no-attack"} & names


def test_a_plan_says_what_a_search_may_take(study, tmp_path: Path) -> None:
    cells = {cell.attack.label: cell for cell in expand(study(text(tmp_path))).cells}
    assert cells["best-of-n-text"].asks == 4 * 6


def test_a_judge_that_is_none_is_told_with_its_line(study) -> None:
    with pytest.raises(UsageError, match=r"attacks.*best-of-n-text.*judge.*no such judge: 'target-strin'"):
        study("name: x\nvictims: [echo]\nattacks: [best-of-n-text: {judge: target-strin}]\ndatasets: [lines]\n")
