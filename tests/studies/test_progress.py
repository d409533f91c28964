"""What a watcher of a run is told: how long it takes, what was skipped, what failed and why, and nothing is obeyed."""

from __future__ import annotations

import contextlib
import io
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest

from proofglass.engine.progress import Pace
from proofglass.errors import NothingMeasured, UsageError
from proofglass.records.store import Store
from proofglass.studies import curve_study, run_study
from proofglass.studies.plan import expand, manifest
from proofglass.studies.progress import Bar, Lines, Progress
from proofglass.studies.runners import local
from proofglass.types import Cost, Reply
from scripted_plugs import EchoVictim

WHOLE = """\
name: whole
seed: 7
chunk: 4
victims: [echo]
attacks: [no-attack, speck, own-speck]
defenses: [none, ask-twice]
datasets:
  - lines: {n: 10}
judges: [long]
"""
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e\nforged line"


class Clock:
    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("proofglass.studies.forecast.time", clock)
    return clock


@pytest.fixture
def watched(study, clock: Clock):
    """A progress that has begun the study, its cells, and `answer(asks, seconds)`."""
    plan = expand(study(WHOLE))
    progress = Progress()
    progress.begin(plan, plan.cells)

    def answer(asks: int, seconds: float, is_new: bool = True) -> None:
        clock.now += seconds if is_new else 0
        progress.heard(asks, is_new, seconds)

    return SimpleNamespace(progress=progress, cells=plan.cells, answer=answer, clock=clock)


# ------------------------------------------------------------ time left

# 6 cells of 10 samples: asks 10 and 20 (ask-twice) for each of 3 attacks, 90 in all; two attacks craft.


def test_the_first_batch_which_loads_the_weights_is_not_in_the_rate(watched) -> None:
    watched.progress.cell(watched.cells[0])
    watched.answer(4, 100.0)
    assert watched.progress.left == ""
    watched.answer(4, 4.0)
    # 90 - 8 asks at 1 s; nothing but asking happened meanwhile. What speck and own-speck cost nobody knows yet.
    assert watched.progress.left == "at least 1 min 22 s left"


def test_recalled_replies_are_fewer_left_and_change_no_rate(watched) -> None:
    watched.progress.cell(watched.cells[0])
    watched.answer(4, 50.0)
    watched.answer(4, 4.0)
    watched.answer(2, 99.0, is_new=False)
    assert watched.progress.left == "at least 1 min 20 s left"


def test_a_defense_that_asks_less_than_its_plan_is_expected_to_go_on_so(watched) -> None:
    plain, twice, *_ = watched.cells
    watched.progress.cell(plain)
    watched.answer(5, 5.0)
    watched.answer(5, 5.0)
    watched.progress.cell_done("done", "")
    watched.progress.cell(twice)
    watched.answer(10, 10.0)  # of 20
    watched.progress.cell_done("done", "")
    # Left: 2 x 10 plain asks and 2 x 20 planned of ask-twice, of which half come: 40 s.
    assert watched.progress.left == "at least 40 s left"


def test_crafting_is_in_the_time_left_once_it_is_known_and_is_bought_once_for_all_defenses(watched) -> None:
    plain, twice, speck, speck_twice, own, _ = watched.cells
    assert [cell.attack.label for cell in watched.cells[2:]] == ["speck", "speck", "own-speck", "own-speck"]
    for cell in (plain, twice):
        watched.progress.cell(cell)
        watched.answer(cell.asks // 2, cell.asks / 2)
        watched.answer(cell.asks // 2, cell.asks / 2)
        watched.progress.cell_done("done", "")
    watched.progress.cell(speck)
    watched.progress.crafting(Pace(0, 10, 1.0))
    watched.clock.now += 30
    watched.progress.crafting(Pace(3, 10, 1.0))
    # 3 of 10 steps took 30 s: 70 s more. Replies: 60 left at 1 s; own-speck is unknown.
    assert watched.progress.left == "at least 2 min 10 s left"
    watched.clock.now += 70
    watched.progress.crafting(Pace(10, 10, 1.0))
    watched.progress.crafted(100.0)
    assert watched.progress.left == "at least 1 min 00 s left"  # 60 replies; speck is bought for ask-twice too
    for cell in (speck, speck_twice):
        watched.progress.cell(cell)
        watched.answer(cell.asks, cell.asks)
        watched.progress.cell_done("done", "")
    watched.progress.cell(own)
    for _ in range(5):  # 5 of its 10 pictures, one after another, 2 s each
        for step in (1, 2):
            watched.clock.now += 1
            watched.progress.crafting(Pace(step, 2, 1.0))
    left = watched.progress.forecast.left(own, 0)
    assert left is not None
    assert left.is_whole
    # 5 pictures more at a little over 2 s (the first second was before anybody looked), and 30 replies.
    assert 30 + 8 <= left.seconds <= 30 + 15


def test_an_attack_costs_on_another_victim_what_it_cost_on_the_first(study, clock: Clock) -> None:
    text = WHOLE.replace("[echo]", "[echo, {echo: {broken: true}, label: other}]").replace(", own-speck", "")
    plan = expand(study(text.replace("[none, ask-twice]", "[none]")))
    progress = Progress()
    progress.begin(plan, plan.cells)
    for cell in plan.cells[:2]:
        progress.cell(cell)
        if cell.attack.label == "speck":
            progress.crafting(Pace(1, 1, 1.0))
            clock.now += 50
            progress.crafted(50.0)
        clock.now += 10
        progress.heard(5, True, 5.0)
        progress.heard(5, True, 5.0)
        progress.cell_done("done", "")
    assert progress.left == "about 1 min 10 s left"  # 2 x 10 replies at 1 s, and 50 s


# ------------------------------------------------------------ what is said


def lines_of(study, text: str, out: Path) -> list[str]:
    stream = io.StringIO()
    plan = expand(study(text))
    with Store.create(out, manifest(plan)) as store, contextlib.suppress(NothingMeasured):
        local.run(plan, store, Lines(stream, every_s=1e9))
    return stream.getvalue().splitlines()


def test_without_a_terminal_progress_is_plain_lines(study, tmp_path: Path, capsys) -> None:
    run_study(study(WHOLE), tmp_path / "run")
    err = capsys.readouterr().err
    assert err.splitlines()[0] == "whole: 6 cells, 60 samples, about 90 replies"
    assert "[6/6] echo x own-speck x ask-twice x lines/first: 10 samples" in err
    assert "\x1b" not in err


def test_why_a_cell_is_skipped_is_said_at_the_start_and_counted_at_the_end(study, tmp_path: Path) -> None:
    said = lines_of(study, WHOLE.replace("[echo]", "[echo: {sees_images: false}]"), tmp_path / "run")
    why = "changes the picture, this victim takes text only"
    assert said[1:3] == [
        f"skipped: echo x speck (2 cells): speck {why}",
        f"skipped: echo x own-speck (2 cells): own-speck {why}",
    ]
    assert said[-1] == "2 cells done; 4 cells skipped: the lines above say why"


def test_why_a_sample_failed_is_said_once_a_cell_as_it_happens_and_counted_at_the_end(study, tmp_path: Path) -> None:
    text = WHOLE.replace("{n: 10}", "{n: 10, faults: true}").replace("[none, ask-twice]", "[none]")
    said = lines_of(study, text.replace("[no-attack, speck, own-speck]", "[no-attack]"), tmp_path / "run")
    assert said[1:4] == [
        "  1 of 4 samples failed: row 2: no question",
        "  1 of 4 samples failed: scripted failure",
        "  1 of 4 samples failed: x.png: truncated",
    ]
    assert said[4].startswith("[1/1] echo x no-attack x none x lines/first: 10 samples, 3 failed")
    assert said[5] == "1 cell done; 3 samples failed: the lines above say why"


def test_many_different_reasons_do_not_flood_the_terminal(study, tmp_path: Path, monkeypatch) -> None:
    def numbered(self, asks):
        return [Reply.error(f"request {k} failed", Cost(queries=1)) for k, _ in enumerate(asks)]

    monkeypatch.setattr(EchoVictim, "reply", numbered)
    text = WHOLE.replace("[none, ask-twice]", "[none]").replace("[no-attack, speck, own-speck]", "[no-attack]")
    said = lines_of(study, text, tmp_path / "run")
    assert sum("samples failed: request" in line for line in said) == 3
    assert any(line.startswith("[1/1]") and "failed: none of 10 samples could be judged" in line for line in said)


def test_what_was_not_sent_is_pending_and_no_failure(study, tmp_path: Path, monkeypatch) -> None:
    spent = "not sent: budget of 3 USD is spent"
    monkeypatch.setattr(EchoVictim, "reply", lambda self, asks: [Reply.error(spent, Cost()) for _ in asks])
    text = WHOLE.replace("[none, ask-twice]", "[none]").replace("[no-attack, speck, own-speck]", "[no-attack]")
    said = lines_of(study, text, tmp_path / "run")
    assert not any("failed" in line for line in said)
    assert f"pending: 10 asks were not sent; {spent}" in said[-2]
    assert said[-1] == "0 cells done; 1 cell pending: the lines above say why"


@pytest.mark.parametrize("kind", [Lines, Bar])
def test_an_apis_error_text_steers_no_terminal_and_forges_no_line(study, tmp_path: Path, monkeypatch, kind) -> None:
    def hostile(self, asks):
        return [Reply.error(f"401 {HOSTILE}", Cost(queries=1)) for _ in asks]

    monkeypatch.setattr(EchoVictim, "reply", hostile)
    text = WHOLE.replace("[no-attack, speck, own-speck]", f"[{{no-attack: {{}}, label: {HOSTILE[1:4]!r}}}]")
    stream = io.StringIO()
    plan = expand(study(text))
    watching = kind(stream)
    watching.begin(plan, plan.cells)
    watching.cell(plan.cells[0])
    watching.crafting(Pace(1, 2, 3.0))
    watching.chunk(4, [f"401 {HOSTILE}"] * 4)
    watching.cell_done("failed", f"none of 10 samples: {HOSTILE}")
    watching.close()
    printed = stream.getvalue()
    assert "401 ⟨U+001B⟩]0;owned⟨U+0007⟩⟨U+001B⟩[2J⟨U+202E⟩ forged line" in printed
    assert not any(line.strip().startswith("forged") for line in printed.splitlines())
    assert [c for c in printed if c != "\n" and unicodedata.category(c) in ("Cc", "Cf")] == []


# ------------------------------------------------------------ curves


def test_a_curve_says_which_budget_runs_and_which_defenses_and_attacks_it_leaves_out(study, tmp_path, capsys) -> None:
    curve_study(study(WHOLE), tmp_path / "out", [5, 9])
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "the curve is that of the bare victim; defenses left out: ask-twice"
    assert said[1] == "budget 1 of 2: 5 forward equivalents per picture"
    assert "attacks that spend nothing run once: no-attack" in said
    assert "budget 2 of 2: 9 forward equivalents per picture" in said
    assert sum(line.startswith("[") for line in said) == 3 + 2  # cells: three attacks, then the two that spend


def test_a_curve_without_the_bare_victim_is_refused(study, tmp_path) -> None:
    with pytest.raises(UsageError, match="Add `none` to the defenses"):
        curve_study(study(WHOLE.replace("[none, ask-twice]", "[ask-twice]")), tmp_path / "out", [5], progress=False)


def test_a_stopped_curve_names_the_command_that_goes_on_with_it(study, tmp_path, monkeypatch, capsys) -> None:
    def stopped(self, asks):
        raise KeyboardInterrupt

    monkeypatch.setattr(EchoVictim, "reply", stopped)
    with pytest.raises(KeyboardInterrupt):
        curve_study(study(WHOLE), tmp_path / "out", [5, 60.0], limit=4)
    command = f"go on with: proofglass curve study.yaml --budget 5 --budget 60 --out {tmp_path / 'out'} --limit 4"
    assert command in capsys.readouterr().err
