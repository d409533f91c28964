"""How much data: against the intervals and tests that will be made of it."""

import numpy as np
import pytest

from proofglass.evaluation.statistics import (
    mcnemar,
    non_inferiority,
    paired_differences,
    paired_power,
    pairs_for_power,
    rows_for_width,
    wilson,
)
from proofglass.evaluation.statistics.clusters import ClusterTotals
from proofglass.evaluation.statistics.planning import margin_score


@pytest.mark.parametrize(("width", "rate", "n"), [(0.1, 0.5, 381), (0.1, 0.1, 141), (0.2, 0.5, 93), (0.05, 0.0, 73)])
def test_rows_for_a_width_are_the_fewest_that_reach_it(width, rate, n):
    assert rows_for_width(width, rate) == n
    low, high = wilson(rate * n, n)
    assert high - low <= width
    low, high = wilson(rate * (n - 1), n - 1)
    assert high - low > width


def test_rows_that_share_questions_are_needed_by_their_design_effect():
    # 5 rows a question, correlation 0.5: effect 1 + 4 x 0.5 = 3; the least n with n / 3 enough
    assert rows_for_width(0.1, cluster_size=5, correlation=0.5) == 1141


def test_pairs_for_power_by_connors_formula():
    # (1.959964 sqrt(.2) + .841621 sqrt(.2 - .01))^2 / .01 = 154.6; effect 2.5
    assert pairs_for_power(0.8, 0.15, 0.05) == 155
    assert pairs_for_power(0.8, 0.15, 0.05, cluster_size=4, correlation=0.5) == 387
    assert paired_power(155, 0.15, 0.05) == pytest.approx(0.802, abs=0.001)


def test_the_power_is_that_of_the_test():
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(300, [0.15, 0.05, 0.8], 2000)
    found = np.mean([mcnemar(int(gained), int(lost), "mid-p") < 0.05 for gained, lost, _ in drawn])
    assert found == pytest.approx(paired_power(300, 0.15, 0.05), abs=0.03)


def changed(gained, lost, n):
    """So many pairs, each its own question, of which so many changed."""
    differences = np.array([1.0] * gained + [-1.0] * lost + [0.0] * (n - gained - lost))
    return paired_differences(ClusterTotals.of(np.zeros(n, int), np.arange(n), differences, 1))


def test_the_score_test_of_a_margin_is_tangos():
    # his first example, lenses of 44 people: 43 good with both, one with the standard only, margin 0.1: z = 1.709
    assert margin_score(0, 1, 44, 0.1) == pytest.approx(1.709, abs=5e-4)
    # margin 0 is McNemar's: (3 - 1) / sqrt(3 + 1)
    assert margin_score(3, 1, 44, 0.0) == pytest.approx(1.0)
    # no pair changed: a loss of the margin would vary by m (1 - m) all the same
    assert margin_score(0, 0, 95, 0.05) == pytest.approx(95 * 0.05 / (95 * 0.05 * 0.95) ** 0.5)
    assert margin_score(0, 0, 95, 0.0) == 0.0


def test_non_inferiority_holds_only_where_the_interval_lies_above_the_margin():
    # 2 of 400 lost, score: z = 4.1295
    assert non_inferiority(changed(0, 2, 400), 0.05) == [pytest.approx(1.82e-5, rel=0.01)]
    for lost in range(20):
        found = changed(4, lost, 200)
        (p,) = non_inferiority(found, 0.05)
        assert p >= 0.025 or found.low[0] > -0.05
    assert non_inferiority(changed(0, 10, 200), 0.05)[0] > 0.45  # a loss of just the margin


def test_a_loss_of_the_margin_passes_as_rarely_as_it_should_where_questions_are_lost_whole():
    # 60 questions of 17 rows, each lost whole or not at all, one in twenty: the interval alone passes 7 %
    rng = np.random.default_rng(0)
    lost = rng.random((2000, 60)) < 0.05
    counts = np.full(lost.size, 17.0)
    sums = -17.0 * lost.ravel()
    found = paired_differences(ClusterTotals(np.repeat(np.arange(2000), 60), sums, -sums, counts, 2000))
    assert np.mean(np.array(non_inferiority(found, 0.05)) < 0.025) < 0.04


@pytest.mark.parametrize(
    "call",
    [
        lambda: rows_for_width(0),
        lambda: rows_for_width(0.1, cluster_size=0.5),
        lambda: pairs_for_power(0.8, 0.1, 0.1),
        lambda: pairs_for_power(1.0, 0.2, 0.1),
        lambda: paired_power(10, 0.8, 0.4),
        lambda: non_inferiority(changed(1, 0, 10), -0.1),
    ],
)
def test_impossible_plans_are_refused(call):
    with pytest.raises(ValueError, match=r"expected|equal shares"):
        call()
