"""What the report says equals what the counting rule counts."""

from __future__ import annotations

import csv
import io
import json

import pytest
from rich.console import Console

from proofglass.evaluation.metrics.success import rate
from proofglass.evaluation.statistics import wilson
from proofglass.report import terminal, write
from proofglass.report.charts import Frame, _paths, _ticks, loss_curves
from proofglass.report.findings import headline
from proofglass.report.gallery import chosen
from proofglass.report.page import page
from proofglass.report.run import ReportedRun
from proofglass.report.tables import crafting, refused, success, utility
from report.fake_run import SUCCESS, answers


def said(store) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(terminal(store))
    return console.file.getvalue()


def test_a_rate_in_the_tables_is_the_rate_of_the_rule(store):
    rows = answers(30, 50)
    rows[0] |= {"outcome": "error", "reason": "gone"}
    rows[1] |= {"outcome": "filtered", "hit": None, "reply": ""}
    rows[2] |= {"hit": None}
    store.add(rows)
    ruled = [{"outcome": "ok", "finish": "stop", "cluster": k, **r, "value": r["hit"]} for k, r in enumerate(rows)]
    want = rate(ruled, SUCCESS)
    found = next(r for r in success(ReportedRun(store)).rows if r["judge"] == SUCCESS)
    for name in ("value", "low", "high", "n", "failed", "filtered", "blocked", "unjudged"):
        assert found[name] == getattr(want, name), name
    assert (found["n"], found["failed"], found["filtered"], found["unjudged"]) == (48, 1, 1, 1)


def test_page_terminal_json_and_csv_state_the_same_rate(store):
    store.add(answers(43, 100))
    low, high = wilson(43, 100)
    shown = f"[{100 * low:.0f},\u00a0{100 * high:.0f}]"
    folder = write(store).parent
    html = (folder / "index.html").read_text()
    assert "43\u00a0%" in html
    assert shown in html
    assert shown in said(store)
    told = json.loads((folder / "report.json").read_text())["tables"]["success"]["rows"][0]
    assert (told["value"], told["low"], told["high"], told["n"]) == (0.43, low, high, 100)
    row = next(csv.DictReader((folder / "tables" / "success.csv").read_text().splitlines()))
    assert (float(row["value"]), float(row["low"]), int(row["n"])) == (0.43, low, 100)


def test_a_set_with_two_expected_answers_is_split_by_them(store):
    """A contrast set holds requests to refuse and requests to answer: one rate over both would mean nothing."""
    store.add([*answers(5, 10)])
    for row in store.rows[:4]:
        row["expected"] = "comply"
    by = {cell.expected: cell.rates[SUCCESS]["n"] for cell in ReportedRun(store).cells}
    assert by == {"comply": 4, "refuse": 6}


def test_over_refusal_is_the_mirror_of_not_refused(store):
    store.add(answers(80, 100), attack="no-attack", dataset="testbed/benign", expected="comply")
    row = utility(ReportedRun(store)).rows[0]
    low, high = wilson(20, 100)
    assert row["over_refusal_value"] == pytest.approx(0.2)
    assert row["over_refusal_low"] == pytest.approx(low)
    assert row["over_refusal_high"] == pytest.approx(high)
    assert refused({"value": None})["value"] is None


@pytest.mark.parametrize(
    ("status", "reason", "word"),
    [
        ("failed", "out of memory", "failed"),
        ("skipped", "no gradients", "skipped"),
        ("pending", "", "not finished"),
    ],
)
def test_a_cell_without_a_number_says_why(store, status, reason, word):
    store.add(answers(1, 4), defense="none")
    store.add(defense="system-prompt", status=status, reason=reason)
    html = page(ReportedRun(store))
    assert f"<strong>{word}</strong>" in html
    assert reason in html
    assert ('class="alarm"' in html) == (status == "failed")
    assert ('class="warn"' in html) == (status == "pending")
    assert status in said(store)


def test_a_cell_that_was_only_skipped_raises_no_alarm(store):
    store.add(answers(1, 4))
    store.add(defense="b", status="skipped", reason="needs gradients")
    assert ReportedRun(store).troubles == []


def test_a_cell_in_which_every_sample_failed_is_empty_not_zero(store):
    store.add([{"outcome": "error", "reason": "HTTP 503"}] * 0 + answers(0, 8, outcome="error", reason="HTTP 503"))
    run = ReportedRun(store)
    assert [cell.state for cell in run.cells] == ["empty"]
    html = page(run)
    assert "nothing measured" in html
    assert "all 8 samples failed" in html
    assert "0\u00a0%" not in html.split('id="attacks"')[1].split('id="utility"')[0].split("</p>", 1)[1]
    assert headline(run) == [
        "Nothing was measured: no cell of this run holds a judged sample.",
        "1 of 1 cell holds no result (1 without a judged sample).",
    ]


def test_a_run_of_which_nothing_was_answered_still_makes_a_report(store):
    store.add(status="failed", reason="the victim did not load")
    html = write(store).read_text()
    assert "the victim did not load" in html
    assert "failed" in said(store)


def test_unjudged_replies_are_counted_and_shown(store):
    rows = answers(2, 10)
    rows[4]["hit"] = rows[5]["hit"] = None
    store.add(rows)
    run = ReportedRun(store)
    assert run.counts["unjudged"] == 2
    assert run.counts["n"] == 8
    assert "2 unjudged" in page(run)
    assert "2 unjudged" in said(store)


def test_counts_of_the_run_include_cells_without_a_rate(store):
    store.add(answers(0, 3, outcome="error", reason="gone"))
    store.add([{"hit": None, "answered": True, "finish": "length"}] * 2, defense="b")
    counts = ReportedRun(store).counts
    assert (counts["samples"], counts["failed"], counts["unjudged"], counts["truncated"]) == (5, 3, 2, 2)


@pytest.mark.parametrize(
    ("told", "mark"),
    [
        ({"crafting": "direct"}, ""),
        ({"crafting": "nothing"}, ""),
        ({"crafting": "static"}, "static"),
        ({"crafting": "adaptive", "crafted_on": "key-of-the-lens"}, "adaptive"),
        ({"crafting": "transfer", "crafted_on": "key-w"}, "transfer from w"),
        ({"crafting": "transfer", "crafted_on": "key-of-no-victim-here"}, "transfer from another model"),
        # Runs from before this was recorded: a key that nobody knows is no proof of an adaptive attack.
        ({"crafted_on": "key-of-the-stack"}, "crafting unknown"),
        ({"crafted_on": "key-v", "forward": 0}, ""),
    ],
)
def test_a_cell_says_what_was_recorded_of_its_crafting(store, told, mark):
    store.add(answers(1, 2), victim="w", attack="no-attack")
    craft = {"artefact": "a", "crafted_on": "key-v", "opens": "gradients", "forward": 1} | told
    store.add(answers(1, 2), attack="qi2023", defense="system-prompt", craft=craft)
    assert ReportedRun(store).find("refuse", attack="qi2023")[0].crafted == mark


def test_the_headline_is_the_worst_cell_beside_no_attack_and_every_defense(full):
    first, lost, beside, *behind = headline(ReportedRun(full))
    assert first.startswith("qi2023 broke testbed-linear on ")
    assert "95 % interval [" in first
    assert "the highest of 9 attacked cells" in first
    assert lost == "2 of 53 cells hold no result (1 failed, 1 without a judged sample); this is about the others."
    assert beside.startswith("Without an attack")
    assert [text.split(",")[0] for text in behind] == [f"On {victim}" for victim in ReportedRun(full).victims]
    assert all("system-prompt" in text and "self-moderation" in text for text in behind)
    assert "static" in behind[0]


def test_a_study_without_attacks_or_refusals_says_so(store):
    store.add(answers(9, 10), attack="no-attack", dataset="d", expected="comply")
    assert "says nothing about attack success" in headline(ReportedRun(store))[0]
    store.add(answers(1, 10), attack="no-attack")
    assert "no attack was measured" in headline(ReportedRun(store))[0]


def test_the_gallery_takes_the_first_success_and_the_first_failure(store):
    store.add([{"hit": h, "answered": h, "sample_id": f"s{k}"} for k, h in enumerate([False, False, True, True])])
    assert [(g["sample_id"], g["broken"]) for g in chosen(ReportedRun(store))] == [("s2", True), ("s0", False)]


def test_the_gallery_is_bounded(full):
    assert 0 < len(chosen(ReportedRun(full))) <= 24


def test_a_loss_that_is_not_finite_is_a_gap():
    assert len(_paths(Frame(x=(0, 4)), [1.0, 0.5, None, 0.4, 0.3])) == 2


def test_thinning_a_curve_keeps_its_spike():
    losses = [1.0] * 5000
    losses[2345] = 0.0
    (path,) = _paths(Frame(x=(0, 4999)), losses)
    assert f",{Frame().at_y(0.0)}" in path
    assert path.count("L") < 300


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1.16, 5.3), (-3e-5, 2e-4), (7, 7), (0, 5000)])
def test_ticks_enclose_the_data(low, high):
    ticks = _ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 8


def test_a_static_attack_has_one_curve_and_one_cost_however_many_cells_it_serves(full):
    run = ReportedRun(full)
    assert [c["victim"] for c in loss_curves(run)] == run.victims


def test_the_crafting_table_says_how_far_the_saved_pictures_are_from_the_clean_ones(full):
    (first, *_) = crafting(ReportedRun(full)).rows
    assert (first["linf_levels"], first["l2"]) == (16, 3.25)
