"""Intervals: published values, and what must hold for any data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.evaluation.statistics import cluster_bootstrap, newcombe, wilson

GROUPS = [[1, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0], [1, 0, 1], [0, 0, 0]]


def rows(groups):
    return [v for group in groups for v in group], [k for k, group in enumerate(groups) for _ in group]


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


def test_newcombe_equals_statsmodels():
    # confint_proportions_2indep(45, 100, 35, 100, method="newcomb")
    assert newcombe(45, 100, 35, 100) == pytest.approx((-0.035301, 0.230286), abs=1e-6)


def test_clustered_rows_get_the_wider_interval_of_their_clusters():
    # 10,000 draws of numpy's default_rng(0); Wilson on the 24 rows would say [0.279, 0.649]
    assert cluster_bootstrap(*rows(GROUPS)) == pytest.approx((0.166667, 0.75), abs=1e-6)


def test_the_bootstrap_is_seeded():
    data = rows([[1, 0], [1], [0, 0, 1], [1, 1], [0]])
    assert cluster_bootstrap(*data, seed=4) == cluster_bootstrap(*data, seed=4)


def test_the_bootstrap_draws_the_same_in_slices():
    # More clusters than fit one slice of indices would change the stream only if slices drew in another order.
    values = [float(k % 3 == 0) for k in range(1200)]
    found = cluster_bootstrap(values, [k // 2 for k in range(1200)], draws=3000)
    rng = np.random.default_rng(0)
    pairs = np.array(values).reshape(600, 2).mean(1)
    means = pairs[rng.integers(0, 600, (3000, 600))].mean(1)
    assert found == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


@pytest.mark.parametrize("value", [0, 1])
def test_clusters_that_agree_never_give_an_interval_of_width_zero(value):
    # 8 clusters, all the same: Wilson with n = 8, not the false [0, 0] of a percentile bootstrap
    found = cluster_bootstrap(*rows([[value] * 3] * 8))
    assert found == wilson(8 * value, 8)
    assert found[1] - found[0] > 0.3


def test_one_cluster_says_almost_nothing():
    low, high = cluster_bootstrap([1, 1, 0, 1], ["a"] * 4)
    assert high - low > 0.7


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


counts = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, counts)
def test_newcombe_holds_the_difference_and_changes_sign_with_it(one, other):
    low, high = newcombe(*one, *other)
    difference = one[0] / one[1] - other[0] / other[1]
    assert -1 - 1e-9 <= low <= difference + 1e-9
    assert difference - 1e-9 <= high <= 1 + 1e-9
    assert newcombe(*other, *one) == pytest.approx((-high, -low), abs=1e-9)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 5)), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_the_bootstrap_lies_between_the_extreme_clusters_or_is_wilsons(data):
    values, clusters = zip(*data, strict=True)
    low, high = cluster_bootstrap(values, clusters, draws=200)
    assert 0 <= low < high <= 1


@pytest.mark.parametrize("call", [lambda: wilson(0, 0), lambda: wilson(3, 2), lambda: wilson(1, 2, level=1.0)])
def test_impossible_counts_are_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()
    with pytest.raises(ValueError, match="expected one per cluster"):
        cluster_bootstrap([], [])
