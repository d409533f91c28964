"""The area under the ROC curve: golden values, its interval, and where there is no curve."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics.scored import table
from proofglass.evaluation.metrics.auroc import Auroc
from proofglass.evaluation.statistics.ranking import newcombe
from proofglass.registry import build
from proofglass.testing import measuring

TRUTH = [1, 1, 1, 0, 0, 0, 0, 1, 0, 1]
SCORES = [0.9, 0.4, 0.8, 0.3, 0.6, 0.2, 0.4, 0.7, 0.1, 0.5]


def rows_of(truth, scores, **more):
    told = [{"references": ["yes" if t else "no"], "p-yes": s, **more} for t, s in zip(truth, scores, strict=True)]
    return table(*told, needs=("p-yes",))


def test_the_golden_values():
    found = Auroc().over(rows_of(TRUTH, SCORES))
    assert (found.value, found.n) == (pytest.approx(0.9), 10)
    assert found.low < 0.9 <= found.high
    assert Auroc().over(rows_of([0, 1, 0, 1], [0.5, 0.5, 0.1, 0.9])).value == pytest.approx(0.875)


def test_a_judge_without_an_error_is_not_certain():
    found = Auroc().over(rows_of([1] * 10 + [0] * 30, [0.9] * 10 + [0.1] * 30))
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(newcombe(1.0, 10, 30)[0])


@pytest.mark.parametrize(
    ("truth", "scores", "reason"),
    [
        ([1, 1], [0.4, 0.6], "only one of the two kinds is there: 2 rows, all yes"),
        ([0], [0.4], "only one of the two kinds is there: 1 rows, all no"),
        ([0, 1, 1], [0.0, 1.0, 0.0], "p-yes gives verdicts (0 or 1) and no probability: there is no curve of them"),
        ([0, 1], [None, None], "no row was judged"),
        ([], [], "no row was judged"),
    ],
)
def test_where_there_is_no_curve_it_says_why(truth, scores, reason):
    found = Auroc().over(rows_of(truth, scores))
    assert (found.value, found.reason) == (None, reason)


def test_withheld_failed_and_unclear_rows_are_left_out():
    rows = table(
        {"references": ["yes"], "p-yes": 0.9}, {"references": ["no"], "p-yes": 0.3},
        {"references": ["yes"], "p-yes": 0.0, "given:p-yes": 0.1, "outcome": "blocked"},
        {"references": ["yes"], "p-yes": 0.1, "outcome": "error"},
        {"references": ["perhaps"], "p-yes": 0.1}, {"references": [], "p-yes": 0.1}, needs=("p-yes",),
    )  # fmt: skip
    found = Auroc().over(rows)
    assert (found.value, found.n, found.reason) == (1, 2, "left out: 2 rows without a truth")


def test_truth_may_be_the_kind_of_sample():
    judge = "unsafe prompt"
    told = [("refuse", 0.9), ("protect", 0.6), ("comply", 0.7), ("control", 0.1), ("label", 0.0), ("describe", 1.0)]
    rows = table(*({"expected": kind, judge: score} for kind, score in told), needs=(judge,))
    metric = Auroc(judge, "kind")
    assert metric.by == ("victim", "attack", "defense")
    found = metric.over(rows)
    assert (found.value, found.n) == (pytest.approx(3 / 4), 4)  # of four pairs 0.6 < 0.7 alone is wrong
    for check in (measuring.groups_by_what_it_says, measuring.order_of_rows_changes_nothing):
        check(metric, measuring.scored(metric))


def test_the_interval_does_not_shrink_where_rows_share_a_question():
    random = np.random.default_rng(3)
    truth = random.random(60) < 0.5
    scores = np.clip(0.3 * truth + random.random(60) * 0.7, 0, 1)
    once = rows_of(truth, scores)
    often = once[[k for k in range(60) for _ in range(5)]]  # each row five times, under its own question
    one, five = Auroc().over(once), Auroc().over(often)
    assert five.value == pytest.approx(one.value)
    assert (five.low, five.high) == pytest.approx((one.low, one.high), abs=0.02)


def test_its_judge_and_name():
    assert build("metrics", "auroc") == Auroc()
    assert Auroc("other").needs == ("other",)
    with pytest.raises(ValueError, match="truth: expected reference or kind"):
        Auroc(truth="other")
