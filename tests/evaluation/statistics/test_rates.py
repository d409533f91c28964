"""Intervals: published values, and what must hold for any data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.evaluation.statistics import clopper_pearson, clustered_rates, wilson
from proofglass.evaluation.statistics.clusters import ClusterTotals, is_few

GROUPS = [[1, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0], [1, 0, 1], [0, 0, 0]]


def totals(*cells):
    """Cells of clusters of values."""
    rows = [(k, j, v) for k, groups in enumerate(cells) for j, group in enumerate(groups) for v in group]
    cell, cluster, values = (np.array(column) for column in zip(*rows, strict=True))
    return ClusterTotals.of(cell, cluster, values.astype(float), len(cells))


def interval(groups):
    found = clustered_rates(totals(groups))
    return float(found.low[0]), float(found.high[0])


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # statsmodels 0.15, proportion_confint(method="wilson")
        (17, 50, 0.224369, 0.478462),
        (0, 50, 0.0, 0.071348),
        (50, 50, 0.928652, 1.0),
        (1, 20, 0.008881, 0.236131),
        (11, 24, 0.278913, 0.649251),
    ],
)
def test_wilson_equals_statsmodels(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(17, 50, 0.212055, 0.487652), (0, 50, 0.0, 0.071122), (50, 50, 0.928878, 1.0), (3, 4000, 0.000155, 0.002190)],
)
def test_clopper_pearson_equals_statsmodels(successes, n, low, high):
    # statsmodels 0.15, proportion_confint(method="beta")
    assert clopper_pearson(successes, n) == pytest.approx((low, high), abs=1e-6)


def test_clustered_rows_get_the_wider_interval_of_their_clusters():
    # Worked by hand from the rule in clusters.py: rate 11/24, k = effective = 8, size 3; residuals of the cluster sums
    # 1.625, -1.375, .625, -.375, 1.625, -1.375, .625, -1.375 -> sum of squares 11.875, x 8/7 = 13.571;
    # effect found 13.571 / (24 x .248264) = 2.27772, r = .638858; information 7 x .993056 = 6.951;
    # mixed: 3 clusters of 1 or 2 in 3, variance 1/3 each, 9 x 1 / 3 = 3; pull 4 / 10.951 x min(1, 8/11 + 1.9) = .36525;
    # effect 1 + 2 (.638858 + .361142 x .36525) = 2.54153; t(7) = 2.3635: x (2.3635 / 1.96)^2 = 3.6958;
    # rows max(24 / 3.6958, 8 - 2 (1 - 8/24)) = max(6.494, 6.667)
    assert interval(GROUPS) == pytest.approx((0.171920, 0.775211), abs=1e-6)
    assert interval([[v] for group in GROUPS for v in group]) == wilson(11, 24)


def test_many_mixed_clusters_lose_little_and_pure_ones_nearly_all_but_their_number():
    mixed, pure = [[1, 0, 0, 0, 1, 0, 1, 0, 0, 0]] * 100, [[1.0] * 10] * 30 + [[0.0] * 10] * 70
    (low, high), (pure_low, pure_high) = interval(mixed), interval(pure)
    rows_low, rows_high = wilson(300, 1000)
    clusters_low, clusters_high = wilson(30, 100)
    assert (high - low) / (rows_high - rows_low) == pytest.approx(1.0, abs=0.15)
    assert (pure_high - pure_low) / (clusters_high - clusters_low) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("value", [0, 1])
def test_clusters_that_agree_never_give_an_interval_of_width_zero(value):
    # 8 clusters of 3, all the same: Wilson with 8 - 2 (1 - 8/24) = 6.667 rows: z^2 / (6.667 + z^2) = .365570
    low, high = interval([[value] * 3] * 8)
    assert (low, high) == pytest.approx((0.634430, 1.0) if value else (0.0, 0.365570), abs=1e-6)


def test_one_cluster_says_almost_nothing():
    low, high = interval([[1, 1, 0, 1]])
    assert high - low > 0.7


def test_cells_do_not_see_each_other():
    cells = [GROUPS, [[1, 0], [1]], [[0.5, 0.25]] * 40]
    together = clustered_rates(totals(*cells))
    for k, groups in enumerate(cells):
        assert (together.low[k], together.high[k]) == pytest.approx(interval(groups), abs=1e-12)
    assert together.clusters.tolist() == [8, 2, 40]


def test_a_cell_without_rows_has_no_interval():
    found = clustered_rates(ClusterTotals.of(np.array([1]), np.array([0]), np.array([1.0]), 2))
    assert np.isnan([found.value[0], found.low[0], found.high[0]]).all()
    assert (found.low[1], found.high[1]) == wilson(1, 1)


@pytest.mark.parametrize(
    ("sizes", "few"),
    [([1] * 5, False), ([2] * 29, True), ([2] * 30, False), ([1] * 29 + [2], False), ([1] * 50 + [100], True)],
)
def test_few_clusters_are_few_or_unequal_and_shared_by_rows(sizes, few):
    found = totals([[1.0] * size for size in sizes])
    assert is_few(found.n[0], found.clusters[0], found.effective[0]) == few


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=6), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_the_interval_holds_the_rate_mirrors_and_lies_between_rows_and_fewer_than_clusters(groups):
    low, high = interval(groups)
    values = [v for group in groups for v in group]
    assert 0 <= low <= np.mean(values) + 1e-12
    assert np.mean(values) - 1e-12 <= high <= 1
    assert interval([[1 - v for v in group] for group in groups]) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    rows_low, rows_high = wilson(sum(values), len(values))
    assert low <= rows_low + 1e-12
    assert high >= rows_high - 1e-12


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(max_examples=200)
def test_wilson_holds_the_rate_and_mirrors(count):
    successes, n = count
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(st.integers(1, 200), st.data())
def test_more_data_narrow_wilson(n, data):
    successes = data.draw(st.integers(0, n))
    one, four = wilson(successes, n), wilson(4 * successes, 4 * n)
    assert four[1] - four[0] < one[1] - one[0]


@pytest.mark.parametrize(
    "call",
    [lambda: wilson(0, 0), lambda: wilson(3, 2), lambda: wilson(1, 2, level=1.0), lambda: clopper_pearson(1.5, 2)],
)
def test_impossible_counts_are_refused(call):
    with pytest.raises(ValueError, match=r"expected|whole number"):
        call()
