"""Paired tests: values of statsmodels and scipy, and what must hold for any pairs."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.evaluation.statistics import cochran_q, mcnemar, paired_differences, sign_flip
from proofglass.evaluation.statistics.clusters import ClusterTotals


@pytest.mark.parametrize(
    ("form", "p"), [("exact", 0.041389), ("mid-p", 0.026604), ("chi2", 0.025347), ("chi2-corrected", 0.044171)]
)
def test_mcnemar_equals_statsmodels(form, p):
    # statsmodels 0.15, mcnemar([[30, 5], [15, 50]]); mid-p: Fagerland, Lydersen & Laake 2013
    assert mcnemar(15, 5, form) == pytest.approx(p, abs=1e-6)
    assert mcnemar(5, 15, form) == mcnemar(15, 5, form)


@pytest.mark.parametrize("form", ["exact", "mid-p", "chi2", "chi2-corrected"])
def test_no_changed_pair_is_no_evidence(form):
    assert mcnemar(0, 0, form) == 1.0


def test_mid_p_of_equal_counts_is_not_above_one():
    assert mcnemar(3, 3) == 1.0
    assert mcnemar(3, 3, "mid-p") == pytest.approx(1 - 20 / 64)


@pytest.mark.parametrize("call", [lambda: mcnemar(-1, 2), lambda: mcnemar(1, 2, "wald"), lambda: cochran_q([[1], [0]])])
def test_what_is_no_table_is_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()


def test_cochrans_q_equals_statsmodels():
    table = [[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert cochran_q(table) == pytest.approx((6.0, 0.049787), abs=1e-6)
    assert cochran_q([[1, 1], [0, 0]]) == (0.0, 1.0)


def test_flipping_signs_of_single_pairs_is_mcnemars_exact_test():
    assert sign_flip([1] * 15 + [-1] * 5 + [0] * 80) == pytest.approx(mcnemar(15, 5), abs=1e-12)


@given(st.lists(st.integers(-4, 4), max_size=9))
@settings(max_examples=60, deadline=None)
def test_flipping_signs_counts_all_of_them(sums):
    flipped = [
        abs(sum(s * v for s, v in zip(signs, sums, strict=True))) for signs in product((1, -1), repeat=len(sums))
    ]
    expected = np.mean([each >= abs(sum(sums)) for each in flipped])
    assert sign_flip(sums) == pytest.approx(expected, abs=1e-12)
    assert sign_flip([each / 3 for each in sums]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("moved", [-1, 0, 0.4, 1])
def test_many_fractional_clusters_come_near_the_exact_value(moved):
    sums = np.round(np.random.default_rng(0).normal(moved, 2, 60), 1)
    irrational = sums * np.sqrt(0.5)  # whole in no scale, and of the same distribution
    assert sign_flip(irrational) == pytest.approx(sign_flip(sums), rel=0.05)
    assert sign_flip(-irrational) == sign_flip(irrational)


def test_fractions_that_all_point_one_way_have_the_smallest_p_value_there_is():
    assert sign_flip(np.linspace(0.1, 0.9, 40) * np.sqrt(2)) == 2.0**-39
    assert sign_flip(np.linspace(-1, 1, 40) * np.sqrt(2)) == 1.0


def test_a_difference_that_all_clusters_share_has_the_smallest_p_value_there_is():
    assert sign_flip([7] * 200) == pytest.approx(2.0**-199)


def differences(groups):
    rows = [(j, v) for j, group in enumerate(groups) for v in group]
    cluster, values = (np.array(column) for column in zip(*rows, strict=True))
    found = paired_differences(ClusterTotals.of(np.zeros(len(rows), int), cluster, values.astype(float), 1))
    return float(found.value[0]), float(found.low[0]), float(found.high[0])


def test_the_interval_of_single_pairs_is_bonett_and_prices():
    # 1 gained, 7 lost of 21 (Bentur et al., in Fagerland et al. 2014): with 2/23 and 8/23, centre -6/23 = -.260870,
    # error sqrt((10/23 - (6/23)^2) / 23) = .126273
    assert differences([[1]] + [[-1]] * 7 + [[0]] * 13) == pytest.approx((-0.285714, -0.508359, -0.013380), abs=1e-6)


def test_no_change_at_all_still_leaves_an_interval():
    value, low, high = differences([[0]] * 50)
    assert value == 0
    assert (low, high) == pytest.approx((-0.053304, 0.053304), abs=1e-6)  # 1.959964 sqrt(2) / 52


def test_pairs_of_one_question_count_for_less():
    alone, shared = differences([[1]] * 30 + [[0]] * 70), differences([[1] * 10] * 3 + [[0] * 10] * 7)
    assert alone[0] == shared[0]
    assert shared[1] < alone[1] < alone[2] < shared[2]


@given(st.lists(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 1.0]), min_size=1, max_size=5), min_size=1, max_size=30))
@settings(max_examples=150, deadline=None)
def test_the_interval_holds_the_difference_and_turns_with_it(groups):
    value, low, high = differences(groups)
    assert -1 <= low <= value <= high <= 1
    assert low < high
    turned = differences([[-v for v in group] for group in groups])
    assert turned == pytest.approx((-value, -high, -low), abs=1e-9)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_sums_that_are_no_numbers_are_no_evidence(odd):
    with pytest.raises(ValueError, match="finite"):
        sign_flip([1.0, odd])
