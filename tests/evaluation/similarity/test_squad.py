"""SQuAD's normalisation, exact match and token F1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.similarity.overlap import Overlap
from proofglass.evaluation.similarity.squad import exact_match, normalised, token_overlap


def test_case_punctuation_articles_and_blanks_go() -> None:
    assert normalised("The cat's  Hat, a U.S. thing!") == "cats hat us thing"
    assert normalised("a-an the_an «the» \u00a0AN\t") == "aan thean « »"  # marks go first; others than ASCII stay


@pytest.mark.parametrize(
    ("said", "reference", "f1"),
    [
        ("It is Angela Merkel.", "Angela Merkel", 2 / 3),  # P 2/4, R 1
        ("The Washington Channel flows into the Potomac", "Washington Channel", 4 / 7),  # P 2/5, R 1
        ("one", "1", 0.0),
        ("", "", 1.0),
        ("the", "a", 1.0),  # nothing is left of either
        ("", "kite", 0.0),
        ("kite", "", 0.0),
        ("kite kite", "kite", 2 / 3),  # a word counts as often as in both: P 1/2, R 1
    ],
)
def test_f1_is_the_harmonic_mean_of_shared_tokens(said: str, reference: str, f1: float) -> None:
    assert token_overlap(said, reference).f1 == pytest.approx(f1, abs=1e-12)
    assert exact_match(said, reference) == float(normalised(said) == normalised(reference))


@given(st.text(), st.text())
def test_precision_is_the_recall_of_the_other_way_round(one: str, other: str) -> None:
    there, back = token_overlap(one, other), token_overlap(other, one)
    assert there == Overlap(back.recall, back.precision, there.f1)
    assert there.f1 == pytest.approx(back.f1)
    assert token_overlap(one, one).f1 == exact_match(one, one) == 1
    assert (there.f1 == 1) or exact_match(one, other) == 0
