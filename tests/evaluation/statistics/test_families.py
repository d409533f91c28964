"""Adjusted p values: those of statsmodels' `multipletests`, in the order given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.statistics import benjamini_hochberg, bonferroni, holm

P = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205]


@pytest.mark.parametrize(
    ("adjust", "expected"),
    [
        (bonferroni, [0.008, 0.064, 0.312, 0.328, 0.336, 0.48, 0.592, 1.0]),
        (holm, [0.008, 0.056, 0.234, 0.234, 0.234, 0.234, 0.234, 0.234]),
        (benjamini_hochberg, [0.008, 0.032, 0.0672, 0.0672, 0.0672, 0.08, 0.084571, 0.205]),
    ],
)
def test_adjusted_values_equal_statsmodels_in_any_order(adjust, expected):
    assert adjust(P) == pytest.approx(expected, abs=1e-6)
    assert adjust(P[::-1]) == pytest.approx(expected[::-1], abs=1e-6)
    assert adjust([]) == []


@given(st.lists(st.floats(0, 1), max_size=30))
def test_bh_claims_no_less_than_holm_and_holm_no_less_than_bonferroni(p):
    for raw, bh, stepped, plain in zip(p, benjamini_hochberg(p), holm(p), bonferroni(p), strict=True):
        assert raw <= bh + 1e-12
        assert bh <= stepped + 1e-12
        assert stepped <= plain + 1e-12
        assert plain <= 1


@pytest.mark.parametrize("adjust", [bonferroni, holm, benjamini_hochberg])
def test_what_is_no_p_value_is_named(adjust):
    with pytest.raises(ValueError, match=r"p\[1\]: expected 0..1, found 1.5"):
        adjust([0.1, 1.5])
