"""The rate at more tries: a power law, and an interval that also holds what a power law cannot know."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.evaluation.statistics.forecast import _log_gamma, curve, forecast
from proofglass.types.tries import Tries


def stopped(firsts: list[int | None], n: int) -> list[Tries]:
    return [Tries(k, 1, k) if k else Tries(n) for k in firsts]


def by_law(a: float, b: float, samples: int, n: int) -> list[Tries]:
    """The quantiles of first successes under a power law: no chance in it."""
    u = (np.arange(samples) + 0.5) / samples
    first = np.ceil((a / -np.log(u)) ** (1 / b)).astype(int)
    return [Tries(int(k), 1, int(k)) if k <= n else Tries(n) for k in first]


def test_a_planted_power_law_is_read_off_again() -> None:
    # -log(rate) = 3 N^-.3: at 3,000 tries exp(-3 x 3000^-.3) = .762.
    found = forecast(by_law(3.0, 0.3, 20_000, 300), 3000, draws=200)
    assert found is not None
    assert (found.a, found.b) == (pytest.approx(3, rel=0.03), pytest.approx(0.3, rel=0.03))
    assert found.value == pytest.approx(math.exp(-3 * 3000**-0.3), abs=0.01)
    assert found.low <= 0.762 <= found.high


def test_equal_chances_are_seen_through_by_the_mixtures_where_the_power_law_is_wrong() -> None:
    # Each try of each sample succeeds with .01: after 300 tries 1 - .99^300 = .951, and the law promises less.
    rng = np.random.default_rng(0)
    found = forecast(stopped([k if k <= 30 else None for k in rng.geometric(0.01, 400).tolist()], 30), 300)
    assert found is not None
    truth = 1 - 0.99**300
    assert found.power is not None
    assert found.power[1] < truth
    assert found.low <= truth <= found.high


def test_pass_at_k_of_a_search_that_went_on_and_the_step_of_one_that_stopped() -> None:
    # Two successes among four: one of 1 try succeeds with 1/2, of 2 with 1 - 1/6, of 3 surely.
    table = curve([Tries(4, 2, 1), Tries(3, 1, 3), Tries(3)], [1, 2, 3, 4])
    np.testing.assert_allclose(table, [[0.5, 5 / 6, 1, 1], [0, 0, 1, 1], [0, 0, 0, np.nan]])


@pytest.mark.parametrize(
    "found",
    [
        [Tries(10)],
        [Tries(10)] * 50,
        [Tries(1, 1, 1)],
        [Tries(1, 1, 1)] * 50,
        [Tries(1), Tries(1, 1, 1)],
        [Tries(9, 9, 1)],
    ],
)
def test_few_tries_none_and_nothing_but_successes_have_an_interval_that_is_no_point(found: list[Tries]) -> None:
    ahead = forecast(found, 100)
    assert ahead is not None
    assert 0 <= ahead.low <= ahead.value <= ahead.high <= 1
    assert ahead.low < ahead.high


def test_nothing_tried_has_no_forecast() -> None:
    assert forecast([], 10) is None
    assert forecast([Tries(0), Tries(0)], 10) is None
    with pytest.raises(ValueError, match="tries: expected at least 1"):
        forecast([Tries(1)], 0)


OUTCOMES = st.builds(
    lambda n, s, f: Tries(n, min(s, n), min(f, n - min(s, n) + 1) if min(s, n) else 0),
    st.integers(1, 60), st.integers(0, 5), st.integers(1, 60),
)  # fmt: skip


@given(st.lists(OUTCOMES, min_size=1, max_size=12), st.integers(1, 5000))
@settings(deadline=None, max_examples=12)
def test_any_searches_have_a_forecast_in_0_to_1_whatever_their_order(found: list[Tries], tries: int) -> None:
    one, other = forecast(found, tries, draws=20), forecast(found[::-1], tries, draws=20)
    assert one is not None
    assert other is not None
    assert 0 <= one.low <= one.value <= one.high <= 1
    assert one.value == pytest.approx(other.value)
    assert one.mixture == pytest.approx(other.mixture)


def test_samples_of_one_question_make_the_power_law_less_sure() -> None:
    found = by_law(3.0, 0.3, 60, 100)
    apart, together = forecast(found, 1000), forecast(found, 1000, [k // 10 for k in range(60)])
    assert apart is not None
    assert together is not None
    assert apart.power
    assert together.power
    assert together.power[1] - together.power[0] > 1.5 * (apart.power[1] - apart.power[0])


def test_log_gamma_is_that_of_the_standard_library() -> None:
    x = np.array([1e-3, 0.03, 0.5, 1, 2.5, 30, 1e4, 3e6])
    np.testing.assert_allclose(_log_gamma(x), [math.lgamma(v) for v in x], rtol=1e-11, atol=1e-11)


def test_the_interval_holds_the_truth_of_planted_beta_distributions() -> None:
    # A corner of scripts/forecast_coverage.py: 60 samples, 40 tries, chances beta(.5, 24.5), forecast at 400.
    rng = np.random.default_rng(1)
    truth = -np.expm1(400 * np.log1p(-rng.beta(0.5, 24.5, 200_000))).mean()
    held = 0
    for _ in range(12):
        first = rng.geometric(rng.beta(0.5, 24.5, 60).clip(1e-12))
        found = forecast(stopped([int(k) if k <= 40 else None for k in first], 40), 400, draws=100)
        assert found is not None
        held += found.low <= truth <= found.high
    assert held >= 11
