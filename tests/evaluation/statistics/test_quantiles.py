"""Quantiles and tails against scipy's values."""

import numpy as np
import pytest

from proofglass.evaluation.statistics.quantiles import binomial_tail, chi_squared_tail, student_quantile


def test_student_quantiles_are_within_one_percent_from_two_degrees_up():
    exact = np.array([4.302653, 2.570582, 2.262157, 2.000298])  # scipy.stats.t.ppf(0.975, (2, 5, 9, 60))
    assert student_quantile(0.95, np.array([2, 5, 9, 60])) == pytest.approx(exact, rel=0.01)
    assert student_quantile(0.95, np.array([1.0]))[0] == pytest.approx(12.706205, rel=0.12)


@pytest.mark.parametrize(
    ("x", "freedom", "p"), [(4.05, 1, 0.044171), (6.0, 2, 0.049787), (7.0, 3, 0.071898), (9.0, 6, 0.173578)]
)
def test_chi_squared_tails_equal_scipy(x, freedom, p):
    assert chi_squared_tail(x, freedom) == pytest.approx(p, abs=1e-6)
    assert chi_squared_tail(0, freedom) == 1.0


def test_binomial_tails_equal_scipy_for_few_and_for_many():
    assert binomial_tail(15, 20, 0.5) == pytest.approx(0.020694733, abs=1e-9)  # scipy.stats.binom.sf(14, 20, .5)
    assert binomial_tail(10_200, 100_000, 0.1) == pytest.approx(0.017946, abs=1e-6)
    assert binomial_tail(0, 5, 0.3) == 1.0
