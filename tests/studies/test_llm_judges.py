"""A language model judges a study: named in YAML, planned, journaled, counted once, and never asked twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import proofglass.victims
from proofglass.report import terminal, write
from proofglass.studies import judge_study
from proofglass.studies.plan import expand
from proofglass.studies.progress import Progress
from scripted_study import TESTS, asked, run, tables

STUDY = """\
name: judged
seed: 7
chunk: 3
settings: {max_new_tokens: 8}
victims: [echo]
attacks: [no-attack, own-speck]
defenses: [none]
datasets: [lines: {n: 8}]
success: strongreject
judges:
  - strongreject: {helpers: [grader: {log: LOG}]}
  - not-refused
"""
# Three numbers of one ask, and a judge whose model says nothing that can be read.
MORE = (
    STUDY
    + """\
  - vlsafe-safety: {helpers: [grader: {log: LOG}]}
  - vlsafe-relevance: {helpers: [grader: {log: LOG}]}
  - refusal-llm: {helpers: [grader: {log: LOG, junk: true}], retries: 2}
"""
)


@pytest.fixture(autouse=True)
def grader(scripted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {**proofglass.victims.CONTENTS, "grader": "judge_models:Grader"}
    monkeypatch.setattr(proofglass.victims, "CONTENTS", found)


def text(folder: Path, of: str = STUDY) -> str:
    return of.replace("LOG", str(folder / "log"))


def asks(folder: Path) -> list[str]:
    return asked(folder / "log")


def test_the_grades_are_the_scores_and_each_reply_is_one_ask(study, tmp_path: Path) -> None:
    store = run(study(text(tmp_path)), tmp_path / "run")
    scores = store.scores()
    graded = dict(scores.filter(scores["judge"] == "strongreject").select("sample_id", "value").iter_rows())
    assert len(graded) == 8
    assert set(graded.values()) == {0.0, 5 / 8}
    replies = dict(store.frame().select("sample_id", "reply").iter_rows())
    assert graded == {name: 5 / 8 if reply.startswith("yes") else 0.0 for name, reply in replies.items()}
    assert len(asks(tmp_path)) == 16


def test_the_plan_says_how_often_judges_ask_at_most(study, tmp_path: Path) -> None:
    plan = expand(study(text(tmp_path, MORE)))
    # Per reply: strongreject and both of vlsafe ask twice, as an answer that cannot be read is asked for once more;
    # refusal-llm three times.
    assert [cell.judge_asks for cell in plan.cells] == [8 * 9, 8 * 9]
    assert plan.judge_asks == 144
    assert expand(study(text(tmp_path, MORE.replace("retries: 2", "repeats: 4, retries: 0")))).judge_asks == 16 * 10
    # More in one round than a dialogue without end is counted for.
    many = text(tmp_path, MORE.replace("retries: 2", "repeats: 100, retries: 0"))
    assert expand(study(many)).judge_asks == 16 * 106


def test_the_run_says_so_before_it_begins(study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from proofglass.studies import run_study

    run_study(study(text(tmp_path)), tmp_path / "run", progress=True)
    assert "about 16 replies, up to 32 asks by judges" in capsys.readouterr().err


def test_what_judges_will_ask_is_in_the_time_left(study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("proofglass.studies.forecast.time", SimpleNamespace(perf_counter=lambda: clock.now))
    plan = expand(study(text(tmp_path).replace("own-speck", "{no-attack: {}, label: again}")))
    progress = Progress()
    progress.begin(plan, plan.cells)
    progress.cell(plan.cells[0])

    def hear(heard, asks: int, seconds: float) -> None:
        clock.now += seconds
        heard(asks, True, seconds)

    hear(progress.heard, 3, 30.0)
    hear(progress.heard, 5, 5.0)
    assert progress.left == "at least 8 s left"  # what a judge takes nobody knows
    hear(progress.judged, 3, 60.0)  # loads the weights of the judge's model
    hear(progress.judged, 3, 6.0)
    # 2 x 16 asks of judges at most, 6 of them made, at 2 s, and 8 replies at 1 s.
    assert progress.left == "about 1 min 00 s left"
    hear(progress.judged, 2, 4.0)
    progress.cell_done("done", "")
    assert progress.left == "about 24 s left"  # 8 of 16 were enough: 8 at 2 s, and 8 replies


def test_what_judging_cost_is_what_the_models_counted_themselves(study, tmp_path: Path) -> None:
    store = run(study(text(tmp_path, MORE)), tmp_path / "run")
    rows = [row for cell in store.cells() for row in cell["judging"]]
    lines = asks(tmp_path)
    total = {
        name: sum(row[f"{name}_new"] for row in rows)
        for name in ("asks", "queries", "tokens_in", "tokens_out", "money")
    }
    n = len(lines)
    assert total == {"asks": n, "queries": n, "tokens_in": 5 * n, "tokens_out": 3 * n, "money": 0.5 * n}
    by_judge = {judge: [r for r in rows if r["judge"] == judge] for judge in ("vlsafe-safety", "vlsafe-relevance")}
    assert [r["asks"] for r in by_judge["vlsafe-relevance"]] == [r["asks"] for r in by_judge["vlsafe-safety"]]
    assert [r["asks_new"] for r in by_judge["vlsafe-relevance"]] == [0, 0]
    helpers = {key: cost["queries"] for key, cost in store.cells()[0]["judge_helpers"].items()}
    assert sum(helpers.values()) == sum(r["asks_new"] for r in store.cells()[0]["judging"])


def test_the_report_shows_asks_tokens_and_money_of_each_judge(study, tmp_path: Path) -> None:
    from io import StringIO

    from rich.console import Console

    store = run(study(text(tmp_path)), tmp_path / "run")
    write(store, tmp_path / "report")
    (row,) = (tmp_path / "report" / "tables" / "judging.csv").read_text().splitlines()[1:]
    assert row == "strongreject,grader,16,16,16,80,48,8.0"
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Judging, per judge and model" in page
    out = StringIO()
    Console(file=out, width=200).print(terminal(store))
    assert "judging: strongreject asked grader 16 times: 80 tokens in, 48 out, 8 paid" in out.getvalue()


def test_a_second_run_and_judging_anew_ask_nothing(study, tmp_path: Path) -> None:
    first = tables(run(study(text(tmp_path, MORE)), tmp_path / "run"))
    before = (tmp_path / "log").read_text()
    for path in (tmp_path / "run" / "scores").iterdir():
        path.unlink()
    again = tables(run(study(text(tmp_path, MORE)), tmp_path / "run"))
    judge_study(study(text(tmp_path, MORE)), tmp_path / "run")
    assert again == first
    assert (tmp_path / "log").read_text() == before


def test_a_new_judge_of_the_same_model_is_all_that_is_asked(study, tmp_path: Path) -> None:
    run(study(text(tmp_path)), tmp_path / "run")
    before = len(asks(tmp_path))
    more = text(tmp_path, STUDY + "  - vlsafe-safety: {helpers: [grader: {log: LOG}], retries: 0}\n")
    judge_study(study(more), tmp_path / "run")
    assert len(asks(tmp_path)) == before + 16


KILLED = """
import sys; sys.path.insert(0, sys.argv[1])
import scripted_plugs; scripted_plugs.register()
import proofglass.victims; proofglass.victims.CONTENTS["grader"] = "judge_models:Grader"
from proofglass.studies import run_study, located
from proofglass.studies.study import parse
run_study(parse(located.parse(sys.argv[2], "study.yaml")), sys.argv[3], progress=False)
"""


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_run_killed_while_it_is_judged_goes_on_and_asks_nothing_answered_again(
    study, tmp_path: Path, batch: int
) -> None:
    (tmp_path / "whole").mkdir()
    whole = tables(run(study(text(tmp_path / "whole")), tmp_path / "unkilled"))
    deadly = text(tmp_path, STUDY.replace("log: LOG", f"log: LOG, die_at: {batch}"))
    command = [sys.executable, "-c", KILLED, str(TESTS), deadly, str(tmp_path / "run")]
    assert subprocess.run(command, capture_output=True).returncode == -9
    # Two chunks of three and one of two in each of two cells: what was answered before the kill is not lost with it.
    assert len(asks(tmp_path)) == {1: 0, 2: 3, 5: 11}[batch]
    found = tables(run(study(deadly), tmp_path / "run"))
    assert {k: found[k] for k in ("frame", "scores", "cells")} == {k: whole[k] for k in ("frame", "scores", "cells")}
    assert sorted(asks(tmp_path)) == sorted(asks(tmp_path / "whole"))


def test_a_testbed_language_model_as_the_judge_is_asked_and_what_it_says_is_read_strictly(
    study, tmp_path: Path
) -> None:
    yaml = """\
name: real
settings: {max_new_tokens: 12}
victims: [testbed-linear: {device: cpu}]
attacks: [no-attack]
datasets: [testbed: {part: benign, n: 3}]
judges: [not-refused, strongreject: {helpers: [testbed-lm-aligned]}, harmbench: {helpers: testbed-lm-aligned}]
success: not-refused
"""
    store = run(study(yaml), tmp_path / "run")
    scores = store.scores().filter(store.scores()["judge"] != "not-refused")
    assert scores["value"].to_list() == [None] * 6
    reasons = set(scores["reason"])
    assert any("too long for the model" in reason for reason in reasons)
    assert store.cells()[0]["judging"][0]["name"] == "testbed-lm-aligned"


def test_a_judge_model_is_set_on_a_command_line_as_in_a_study(proofglass, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = proofglass("judges", "check", "strongreject", "--set", "helpers=grader", "--no-stability")
    assert (code, err.count("broke")) == (0, 0)
    assert "Judge strongreject helpers=grader (unsafe) against people" in out
    code, out, err = proofglass("judges", "check", "strongreject", "--set", "helpers=graders", "--no-stability")
    assert code == 2
    assert "--set helpers: no such model: 'graders'. Did you mean 'grader'?" in err
    several = json.dumps([{"grader": {"junk": True}}, "grader"])
    code, out, err = proofglass("judges", "check", "strongreject", "--set", f"helpers={several}", "--no-stability")
    assert code == 1
    assert "judged none" in err
