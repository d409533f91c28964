"""How much data: against the intervals and tests that will be made of it."""

import numpy as np
import pytest

from proofglass.evaluation.statistics import (
    mcnemar,
    non_inferiority,
    paired_power,
    pairs_for_power,
    rows_for_width,
    wilson,
)


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


def test_non_inferiority_is_the_interval_above_the_margin():
    # (-.02 + .05) / .015 = 2: 1 - Phi(2)
    assert non_inferiority(-0.02, 0.015, 0.05) == pytest.approx(0.022750, abs=1e-6)
    assert non_inferiority(-0.05, 0.015, 0.05) == 0.5
    for centre in (-0.03, -0.02, 0.0):
        assert (non_inferiority(centre, 0.015, 0.05) < 0.025) == (centre - 1.959964 * 0.015 > -0.05)


@pytest.mark.parametrize(
    "call",
    [
        lambda: rows_for_width(0),
        lambda: rows_for_width(0.1, cluster_size=0.5),
        lambda: pairs_for_power(0.8, 0.1, 0.1),
        lambda: pairs_for_power(1.0, 0.2, 0.1),
        lambda: paired_power(10, 0.8, 0.4),
        lambda: non_inferiority(0.0, 0.1, -0.1),
    ],
)
def test_impossible_plans_are_refused(call):
    with pytest.raises(ValueError, match=r"expected|equal shares"):
        call()
