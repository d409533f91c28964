from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from proofglass.errors import NothingMeasured, StoreError, UsageError
from proofglass.records.journal import Journal
from proofglass.records.schema import record_schema
from proofglass.records.store import Store
from proofglass.studies import judge_study, located, run_study
from proofglass.studies.plan import derive, expand, manifest
from proofglass.studies.runners import local
from proofglass.studies.study import parse
from proofglass.types import Score
from scripted_plugs import EchoVictim
from scripted_study import SMALL, TESTS, WHOLE, asked, run, tables


@pytest.fixture(autouse=True)
def _log_lands_in_the_tests_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study names its log relative to the working folder."""
    monkeypatch.chdir(tmp_path)


def test_every_sample_of_every_cell_has_a_record_and_a_score_of_every_judge(study, tmp_path: Path) -> None:
    store = run(study(WHOLE), tmp_path / "run")
    frame = store.frame()
    # 3 attacks x 2 defenses x 10 + 1 attack x 2 defenses x 5
    assert len(frame) == 70
    assert len(store.scores()) == 140
    assert dict(frame.schema) == record_schema()
    assert [c["status"] for c in store.cells()] == ["done"] * 8
    row = frame.filter(frame["attack"] == "speck").row(0, named=True)
    assert row["question"] == row["attacked_text"] == "first0?"
    assert row["crafted_on"] == row["victim_key"] == EchoVictim().key
    assert store.image(row["attacked_images"][0]).width == 8
    (sha,) = row["attacked_images"]
    assert json.loads(row["conversation"])[0]["parts"] == [["image", sha], ["text", "first0?"]]
    assert row["queries"] == 1
    twice = frame.filter(frame["defense"] == "ask-twice").row(0, named=True)
    assert twice["queries"] == 2
    assert twice["chunk"] == 0


def test_a_batch_that_two_cells_share_is_asked_once(study, tmp_path: Path) -> None:
    log = tmp_path / "log"
    store = run(study(WHOLE.replace("LOG", str(log))), tmp_path / "run")
    # The first round of ask-twice is the cell without defense: only its second round is new.
    assert len(asked(log)) == int(store.frame()["queries"].sum()) - len(store.frame()) // 2 == 70


def test_running_a_finished_study_again_asks_nothing_and_changes_nothing(study, tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = tables(run(study(WHOLE.replace("LOG", str(log))), tmp_path / "run"))
    before = log.read_text()
    assert tables(run(study(WHOLE.replace("LOG", str(log))), tmp_path / "run")) == first
    assert log.read_text() == before


def test_cells_in_any_order_give_the_same_records(study, tmp_path: Path) -> None:
    plan = expand(study(WHOLE))
    found = []
    for name, cells in (("a", plan.cells), ("b", plan.cells[::-1]), ("c", plan.cells[3:] + plan.cells[:3])):
        with Store.create(tmp_path / name, manifest(plan)) as store:
            local.run(replace(plan, cells=cells), store)
        found.append(tables(Store(tmp_path / name)))
    assert found[0] == found[1] == found[2]


def test_seeds_come_from_names_and_not_from_places_in_the_study(study) -> None:
    one = expand(study(WHOLE))
    other = expand(study(WHOLE.replace("[no-attack, speck, own-speck]", "[own-speck, speck, no-attack]")))
    assert {c.key: c.seed for c in one.cells} == {c.key: c.seed for c in other.cells}
    assert derive(7, "craft", "a", "b") != derive(8, "craft", "a", "b") != derive(8, "craft", "ab", "")


@pytest.mark.parametrize(
    "change",
    [
        ("seed: 7", "seed: 8"),
        ("chunk: 4", "chunk: 5"),
        ("n: 10", "n: 9"),
        ("own-speck]", "{speck: , label: o}]"),
    ],
)
def test_whatever_changes_the_numbers_of_a_cell_changes_its_key(study, change: tuple[str, str]) -> None:
    one, other = expand(study(WHOLE)), expand(study(WHOLE.replace(*change)))
    assert {c.key for c in one.cells} - {c.key for c in other.cells}


def _drive(text: str, out: Path) -> int:
    """Run a study with scripted plugs in a process of its own; its exit status."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import scripted_plugs; scripted_plugs.register()\n"
        "from proofglass.studies import run_study, located; from proofglass.studies.study import parse\n"
        "run_study(parse(located.parse(sys.argv[2], 'study.yaml')), sys.argv[3], progress=False)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(TESTS), text, str(out)], capture_output=True, text=True)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


@pytest.mark.parametrize("batch", [2, 5])
def test_a_run_killed_in_the_middle_goes_on_and_asks_only_the_batch_at_hand_again(
    study, tmp_path: Path, batch: int
) -> None:
    whole = tables(run(study(WHOLE.replace("LOG", str(tmp_path / "log0"))), tmp_path / "unkilled"))
    log = tmp_path / "log"
    deadly = WHOLE.replace("{log: LOG}", f"{{log: {log}, die_at: {batch}}}")
    assert _drive(deadly, tmp_path / "run") == -9
    begun = [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("batch ")]
    assert len(begun) == batch
    assert len(asked(log)) == sum(begun[:-1])  # the batch at hand was not answered
    # The victim's settings name its log and its death; its key, and all that it says, do not.
    found = tables(run(study(deadly), tmp_path / "run"))
    assert {k: found[k] for k in ("frame", "scores", "cells")} == {k: whole[k] for k in ("frame", "scores", "cells")}
    assert sorted(asked(log)) == sorted(asked(tmp_path / "log0"))
    assert len(set(asked(log))) == len(asked(log))


def test_a_torn_last_line_of_the_journal_costs_one_batch(study, tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = WHOLE.replace("LOG", str(log))
    whole = tables(run(study(text), tmp_path / "run"))
    for path in [*(tmp_path / "run" / "cells").iterdir(), *(tmp_path / "run" / "scores").iterdir()]:
        path.unlink()
    journal = tmp_path / "run" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-3])
    log.write_text("")
    assert tables(run(study(text), tmp_path / "run")) == whole
    assert log.read_text().count("batch ") == 1


def test_bad_rows_failing_asks_and_broken_pictures_cost_themselves_only(study, tmp_path: Path) -> None:
    text = WHOLE.replace("{n: 10}", "{faults: true, n: 6}").replace("[none, ask-twice]", "[none, ask-twice, wall]")
    store = run(study(text), tmp_path / "run")
    for cell in store.cells():
        if cell["dataset"] != "lines/first":
            continue
        rows = store.frame(cell["cell"]).to_dicts()
        assert len(rows) == cell["planned"] == 6
        ends = [row["outcome"] for row in rows]
        good = "blocked" if cell["defense"] == "wall" else "ok"
        second = "blocked" if cell["defense"] == "wall" else "error"
        assert ends == [good, "error", second, "error", good, good]
        assert rows[1]["reason"] == "row 2: no question"
        assert rows[1]["category"] == "odd"
        assert rows[1]["expected"] == "refuse"
        assert rows[3]["reason"] == "x.png: truncated"
        assert second == "blocked" or rows[2]["reason"] == "scripted failure"
    values = store.scores().filter(store.scores()["sample_id"] == "first2")["value"]
    assert values.null_count() == len(values)


def test_an_id_that_stands_twice_is_a_bad_row(study, tmp_path: Path) -> None:
    store = run(study(WHOLE.replace("{n: 10}", "{n: 3, twice: true}")), tmp_path / "run")
    rows = store.frame(store.cells()[0]["cell"])
    assert rows["sample_id"].to_list() == ["same", "same#2", "same#3"]
    assert rows["reason"].to_list() == ["", "sample id 'same' stands twice", "sample id 'same' stands twice"]


def test_a_cell_in_which_nothing_was_measured_fails_the_run_after_everything_else_ran(study, tmp_path: Path) -> None:
    text = WHOLE.replace("victims:", "victims: [{echo: {broken: true}, label: sick}, echo]\n#")
    with pytest.raises(NothingMeasured, match=r"8 of 16 cells.*sick x no-attack.*10 x .*out of coffee"):
        run(study(text), tmp_path / "run")
    store = Store(tmp_path / "run")
    assert [c["status"] for c in store.cells()] == ["failed"] * 8 + ["done"] * 8
    assert len(store.frame()) == 140


def test_a_failed_cell_is_tried_again_by_the_next_run(study, tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = WHOLE.replace("{log: LOG}", f"{{log: {log}, broken: true}}")
    for _ in range(2):
        with pytest.raises(NothingMeasured):
            run(study(text), tmp_path / "run", limit=2)
    assert log.read_text().count("batch ") == 16 + 0 * 8


def test_an_empty_data_set_fails_the_run(study, tmp_path: Path) -> None:
    with pytest.raises(NothingMeasured, match="the data set has no samples"):
        run(study(WHOLE.replace("n: 5", "n: 0")), tmp_path / "run")


def test_a_judge_that_can_say_nothing_fails_the_run_if_it_decides_success(study, tmp_path: Path) -> None:
    with pytest.raises(NothingMeasured, match="10 x nothing to say"):
        run(study(WHOLE.replace("[long]", "[mute]")), tmp_path / "run")
    run(study(WHOLE.replace("[long]", "[long, mute]\nsuccess: long")), tmp_path / "other")


def test_a_judge_that_breaks_leaves_its_samples_unjudged(study, tmp_path: Path) -> None:
    with pytest.raises(NothingMeasured, match="judge loud broke on 70 of 70 replies"):
        run(study(WHOLE.replace("[long]", "[long, loud]\nsuccess: long")), tmp_path / "run")
    scores = Store(tmp_path / "run").scores()
    loud = scores.filter(scores["judge"] == "loud")
    assert loud["value"].null_count() == len(loud) == 70
    assert "RuntimeError: too loud to hear" in loud["reason"][0]


def test_a_judge_that_quotes_half_a_character_costs_no_cell(study, tmp_path: Path, monkeypatch) -> None:
    said = Score("long", 1.0, "says \ud800", "because \udfff")
    monkeypatch.setattr("scripted_plugs.Long.score", lambda self, attempts: [said] * len(attempts))
    store = run(study(WHOLE), tmp_path / "run")
    assert set(store.scores().filter(pl.col("judge") == "long")["reason"]) == {"because ?"}


def test_crafting_that_breaks_costs_its_cells_only(study, tmp_path: Path) -> None:
    with pytest.raises(NothingMeasured, match="ZeroDivisionError: no gradient today"):
        run(study(WHOLE.replace("own-speck", "broken")), tmp_path / "run")
    assert [c["status"] for c in Store(tmp_path / "run").cells()].count("failed") == 2


def test_blocked_by_a_defense_is_measured(study, tmp_path: Path) -> None:
    store = run(study(WHOLE.replace("[none, ask-twice]", "[wall]")), tmp_path / "run")
    assert {c["status"] for c in store.cells()} == {"done"}
    assert set(store.frame()["outcome"]) == {"blocked"}


def test_what_cannot_run_is_skipped_with_its_reason(study, tmp_path: Path) -> None:
    text = WHOLE.replace("echo: {log: LOG}", "echo: {sees_images: false}")
    store = run(study(text), tmp_path / "run")
    skipped = [c for c in store.cells() if c["status"] == "skipped"]
    assert {c["attack"] for c in skipped} == {"speck", "own-speck"}
    assert skipped[0]["reason"] == "speck changes the picture, this victim takes text only"
    with pytest.raises(NothingMeasured, match="no cell can run"):
        run(
            study(text.replace("[no-attack, ", "[").replace("attacks: [no-attack]", "attacks: [speck]")),
            tmp_path / "none",
        )


def test_crafting_is_bought_once_for_all_defenses_and_runs(study, tmp_path: Path) -> None:
    store = run(study(WHOLE), tmp_path / "run")
    speck = [c["craft"] for c in store.cells() if c["attack"] == "speck"]
    assert len({c["artefact"] for c in speck}) == 1
    assert (speck[0]["forward"], speck[0]["backward"], speck[0]["opens"]) == (3, 2, "nothing")
    assert speck[0]["image"] == store.frame().filter(store.frame()["attack"] == "speck")["attacked_images"][0][0]
    assert store.image(speck[0]["clean"]).width == 8
    assert all(c["craft"] is None for c in store.cells() if c["attack"] == "no-attack")


def test_crafting_per_sample_adds_its_costs_and_averages_its_traces(study, tmp_path: Path) -> None:
    store = run(study(WHOLE.replace("n: 10", "n: 4")), tmp_path / "run")
    own = next(c["craft"] for c in store.cells() if c["attack"] == "own-speck")
    assert (own["artefacts"], own["forward"]) == (4, 4)
    assert own["trace"] == {"loss": [2.5, 0.5]}  # one of 4, 2 and three of 2, 0
    frame = store.frame()
    images = frame.filter((frame["attack"] == "own-speck") & (frame["defense"] == "none"))["attacked_images"]
    assert len({row[0] for row in images}) == 4


def test_a_crafting_sample_that_is_also_judged_is_refused(study, tmp_path: Path) -> None:
    with pytest.raises(NothingMeasured, match=r"'first0': is in the crafting split and is judged too"):
        run(study(WHOLE.replace("{n: 10}", "{n: 10, leak: true}")), tmp_path / "run")


def test_judging_anew_asks_nobody_and_says_what_the_run_said(study, tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = WHOLE.replace("LOG", str(log)).replace("{n: 10}", "{faults: true, n: 6}")
    first = run(study(text), tmp_path / "run")
    before, scores = log.read_text(), first.scores().to_dicts()
    assert judge_study(study(text), tmp_path / "run").scores().to_dicts() == scores
    store = judge_study(study(text.replace("[long]", "[long, mute]\nsuccess: long")), tmp_path / "run")
    assert store.manifest()["judges"] == ["not-refused", "long", "mute"]
    assert store.scores().filter(store.scores()["judge"] != "mute").to_dicts() == scores
    assert set(store.scores()["judge"]) == {"not-refused", "long", "mute"}
    assert log.read_text() == before


def test_a_judge_added_to_the_study_scores_the_finished_cells_of_a_rerun(study, tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = WHOLE.replace("LOG", str(log))
    run(study(text), tmp_path / "run")
    before = log.read_text()
    store = run(study(text.replace("[long]", "[long, mute]\nsuccess: long")), tmp_path / "run")
    assert len(store.scores().filter(store.scores()["judge"] == "mute")) == 70
    assert log.read_text() == before


def test_judging_a_run_of_another_study_is_refused(study, tmp_path: Path) -> None:
    run(study(WHOLE), tmp_path / "run")
    with pytest.raises(StoreError, match="holds no record of this study"):
        judge_study(study(WHOLE.replace("seed: 7", "seed: 8")), tmp_path / "run")
    with pytest.raises(StoreError, match="holds no run"):
        judge_study(study(WHOLE), tmp_path / "nowhere")


def test_credentials_are_in_no_file_of_the_run(study, tmp_path: Path) -> None:
    run(study(WHOLE.replace("log: LOG", "api_key: hunter2")), tmp_path / "run")
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 20
    assert not [path for path in files if b"hunter2" in path.read_bytes()]


def test_ctrl_c_keeps_what_was_answered_and_says_how_to_go_on(
    study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, calls = EchoVictim.reply, []

    def interrupted(self: EchoVictim, asks: Any) -> Any:
        calls.append(len(asks))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, asks)

    monkeypatch.setattr(EchoVictim, "reply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_study(study(WHOLE), tmp_path / "run")
    assert f"go on with: proofglass run study.yaml --out {tmp_path / 'run'}" in capsys.readouterr().err
    with Journal(tmp_path / "run" / "journal.jsonl") as journal:
        assert len(journal) == 2
    assert len(run(study(WHOLE), tmp_path / "run").frame()) == 70


def test_a_plan_tells_how_many_asks_to_expect(study) -> None:
    plan = expand(study(WHOLE))
    assert [cell.asks for cell in plan.cells] == [10, 5, 20, 10, 10, 20, 10, 20]
    assert plan.asks == 105


def test_a_plan_without_a_cell_is_refused(study) -> None:
    text = WHOLE.replace("[no-attack, speck, own-speck]", "[no-attack, speck]")
    text = text.replace("  - lines: {n: 10}\n", "").replace("attacks: [no-attack]", "attacks: [speck]")
    assert len(expand(study(text)).cells) == 2
    with pytest.raises(ValueError, match="limit: expected at least 1"):
        expand(study(text), limit=0)


def test_a_data_set_that_cannot_be_read_stops_the_study_before_anything_is_spent(
    study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripted_plugs import Lines

    def unreadable(self: Lines) -> Any:
        raise ValueError("n: has about 3 different questions, found n = 10")
        yield

    monkeypatch.setattr(Lines, "__iter__", unreadable)
    with pytest.raises(UsageError, match=r"study\.yaml: data set lines/first: n: has about 3"):
        run(study(WHOLE), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_full_disk_stops_the_run_at_once_and_the_same_call_goes_on(
    study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from proofglass.records import files

    log = tmp_path / "log"
    text = WHOLE.replace("LOG", str(log))
    real, calls = files.os.replace, []

    def full(*paths: Any) -> None:
        calls.append(paths)
        if len(calls) == 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", full)
        with pytest.raises(StoreError, match=r"the disk is full.*run the same command again"):
            run(study(text), tmp_path / "run")
    whole = tables(run(study(text), tmp_path / "run"))
    assert len(set(asked(log))) == len(asked(log)) == 70
    assert len(whole["frame"]) == 70


def test_the_study_file_parses_as_it_was_kept(study, tmp_path: Path) -> None:
    store = run(study(WHOLE), tmp_path / "run")
    kept = store.manifest()["study_text"]
    assert parse(located.parse(kept, "study.yaml")).name == "whole"


def test_what_a_cell_was_sealed_with_is_missed_and_made_again(study, tmp_path: Path) -> None:
    # Without a word the report had fewer samples, and a run that went on left it so.
    whole = tables(run(study(SMALL), tmp_path / "run"))
    for folder in ("cells", "scores"):
        lost = min((tmp_path / "run" / folder).glob("*.parquet"))
        lost.unlink()
        with pytest.raises(StoreError, match=rf"{lost.name}: gone, though its cell is done.*same command again"):
            tables(Store(tmp_path / "run"))
        assert tables(run(study(SMALL), tmp_path / "run")) == whole
