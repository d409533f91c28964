"""The section of corrected rates, over rows made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofglass.records.labels import Labels
from proofglass.report import write
from proofglass.report.corrected import corrected
from proofglass.report.page import page
from proofglass.report.run import ReportedRun
from proofglass.report.tables import tables
from report.fake_run import NOT_REFUSED, FakeStore


def store(tmp_path: Path, world: str = "", withheld: int = 0) -> FakeStore:
    """100 replies of a real model: 40 not refused; plus withheld ones."""
    made = FakeStore(tmp_path, world=world)
    replies = [{"hit": 0.0, "answered": float(k < 40)} for k in range(100)]
    made.add([*replies, *[{"outcome": "blocked", "reply": ""} for _ in range(withheld)]])
    return made


def labelled(made: FakeStore, upto: int = 100, step: int = 2) -> FakeStore:
    """Every `step`-th reply below `upto` labelled: those flagged rightly, and every tenth of the others."""
    place = ("v", "figstep", "none", "testbed/restricted")
    drawn = {f"0000-s{k:03d}": ((*place, f"s{k:03d}"),) for k in range(0, upto, step)}
    given = {f"0000-s{k:03d}": float(k < 40 or k % 10 == 0) for k in range(0, upto, step)}
    made.labelled = Labels(NOT_REFUSED, NOT_REFUSED, "a key", drawn, given)
    return made


def test_a_victim_of_the_judges_own_world_needs_no_correction(tmp_path):
    run = ReportedRun(store(tmp_path, world="the Vale"))
    assert corrected(run) == []
    assert "Corrected for judge error" not in page(run)


def test_a_real_model_without_calibration_is_told_plainly(tmp_path):
    (row,) = corrected(run := ReportedRun(store(tmp_path)))
    assert (row["judge"], row["value"], row["corrected"]) == (NOT_REFUSED, 0.4, None)
    assert "no calibration for this judge on this kind of model (vision-language model)" in page(run)


def test_labels_are_weighed_by_the_verdicts_under_which_they_were_drawn(tmp_path):
    (row,) = corrected(run := ReportedRun(labelled(store(tmp_path))))
    # 40 flagged, 20 labelled, all right; 60 others, 30 labelled, 6 missed: .4 + .6 x .2
    assert row["corrected"] == pytest.approx(0.52)
    assert row["corrected_low"] < 0.52 < row["corrected_high"]
    assert (row["labels"], row["replies"]) == (50, 100)
    assert "52" in page(run)
    table = next(table for table in tables(run) if table.name == "corrected")
    assert table.rows == [row]
    assert set(row) == set(table.columns)


def test_a_report_computes_them_once(tmp_path, monkeypatch):
    # `_correct` looks at every row of a cell: twice would be felt in a large run.
    called = []
    monkeypatch.setattr("proofglass.report.corrected.corrected", lambda run: called.append(run) or [])
    write(store(tmp_path))
    assert len(called) == 1


def test_the_page_states_rates_then_corrected_ones_then_differences(tmp_path):
    html = page(ReportedRun(store(tmp_path)))
    places = [html.index(f'id="{section}"') for section in ("attacks", "corrected", "differences", "utility")]
    assert places == sorted(places)
    assert "Rates here are as judged, not corrected." not in html  # there is nothing to compare


def test_withheld_replies_count_as_not_positive(tmp_path):
    (row,) = corrected(ReportedRun(labelled(store(tmp_path, withheld=100))))
    assert row["corrected"] == pytest.approx(0.26)
    assert row["replies"] == 200


def test_too_few_labels_are_told(tmp_path):
    (row,) = corrected(ReportedRun(labelled(store(tmp_path), upto=10)))
    assert row["corrected"] is None
    assert row["reason"].startswith("5 labels of these replies, 10 are needed; no calibration")


def test_labels_of_the_complement_serve_a_judge_too(tmp_path):
    made = labelled(store(tmp_path))
    labels = made.labelled
    made.labelled = Labels(
        "refusal", NOT_REFUSED, "a key", labels.drawn, {row: 1 - v for row, v in labels.given.items()}
    )
    run = ReportedRun(made)
    run.manifest["plugs"]["judges"][NOT_REFUSED]["aspect"] = "not refusal"
    (row,) = corrected(run)
    assert row["corrected"] == pytest.approx(0.52)


def test_a_judge_of_refusals_counts_what_was_withheld_in_every_column(tmp_path):
    made = labelled(store(tmp_path, withheld=100))
    plugs = made.manifest()["plugs"]
    plugs["judges"][NOT_REFUSED]["says"] = "refused"
    made.extra = {"plugs": plugs}
    (row,) = corrected(ReportedRun(made))
    assert row["value"] == pytest.approx((40 + 100) / 200)
    assert row["corrected"] == pytest.approx((52 + 100) / 200)
    made.extra = {}
    (row,) = corrected(ReportedRun(made))
    assert (row["value"], row["corrected"]) == (pytest.approx(40 / 200), pytest.approx(52 / 200))
