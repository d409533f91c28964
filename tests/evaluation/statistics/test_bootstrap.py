"""Intervals by drawing clusters: against scipy's, wider where rows share a question, silent where they would lie."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap as of_scipy

from proofglass.evaluation.statistics import bootstrap, bootstrap_rows

MEAN = lambda sums: sums[:, 0] / sums[:, 1]  # noqa: E731


def ones(values: list[float]) -> np.ndarray:
    return np.column_stack([values, np.ones(len(values))])


def test_draws_that_differ_by_rounding_alone_say_nothing():
    # every row is 0.1, so every mean is, but sums of it are rounded in another way in every draw
    sums = np.column_stack([np.full(12, 0.1), np.ones(12)])
    assert len({float(mean) for mean in np.arange(1, 13) * 0.1 / np.arange(1, 13)}) > 1
    assert bootstrap(sums, range(12), lambda total: total[:, 0] / total[:, 1]) is None


def test_a_rate_gets_the_interval_that_scipy_gives_it() -> None:
    values = [1.0] * 17 + [0.0] * 33
    ours = bootstrap(ones(values), range(50), MEAN, draws=9999)
    theirs = of_scipy((values,), np.mean, n_resamples=9999, method="percentile", rng=0).confidence_interval
    assert ours == pytest.approx((0.22, 0.48), abs=0.011)
    assert ours == pytest.approx(tuple(theirs), abs=0.021)


def test_rows_of_a_question_come_together_and_make_it_wider() -> None:
    table = [[1, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0], [1, 0, 1], [0, 0, 0]]
    values = [float(value) for row in table for value in row]
    together = bootstrap(ones(values), np.repeat(range(8), 3), MEAN, draws=10_000)
    apart = bootstrap(ones(values), range(24), MEAN, draws=10_000)
    assert together == pytest.approx((0.166667, 0.75), abs=0.043)
    assert together is not None
    assert apart is not None
    assert together[1] - together[0] > apart[1] - apart[0]


def test_what_would_be_told_as_certainty_is_not_told() -> None:
    assert bootstrap(ones([1.0] * 20), range(20), MEAN) is None
    assert bootstrap(ones([1.0, 0.0, 1.0]), ["a"] * 3, MEAN) is None
    assert bootstrap(ones([]).reshape(0, 2), [], MEAN) is None
    assert bootstrap(ones([1.0, 0.0]), range(2), lambda sums: np.full(len(sums), np.nan)) is None


def test_rows_and_sums_agree_and_the_seed_decides() -> None:
    values = np.random.default_rng(5).normal(size=40)
    clusters = np.arange(40) // 2
    by_sums = bootstrap(ones(list(values)), clusters, MEAN)
    by_rows = bootstrap_rows(clusters, lambda weights: float((weights @ values) / weights.sum()))
    assert by_rows == pytest.approx(by_sums)
    assert by_sums == bootstrap(ones(list(values)), clusters, MEAN)
    assert by_sums != bootstrap(ones(list(values)), clusters, MEAN, seed=1)
