"""Changed verdicts are counted by their direction, and apart from lost ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.trust.flips import VARIANTS, flips


def test_each_way_to_change_is_counted_once():
    before = [True, True, False, False, True, None, None]
    after = [True, False, True, False, None, True, None]
    found = flips("x", "family", before, after, range(7))
    assert (found.rate.value, found.rate.n) == (0.5, 4)
    assert (found.to_yes, found.to_no, found.lost, found.gained) == (1, 1, 1, 1)


def test_nothing_judged_twice_has_no_rate():
    found = flips("x", "family", [None], [True], ["q"])
    assert found.rate.value is None
    with pytest.raises(ValueError, match="zip"):
        flips("x", "family", [True], [], [])


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=60))
def test_spellings_keep_every_word(text):
    for name in ("blanks around it", "doubled blanks", "Windows line ends"):
        assert VARIANTS[name](text).split() == text.split()
    assert VARIANTS["straight quotes"](VARIANTS["curly quotes"](text)).split() == (
        VARIANTS["straight quotes"](text).split()
    )


def test_spellings_by_example():
    assert VARIANTS["curly quotes"]("""I can't say "no".""") == "I can’t say “no”."
    assert VARIANTS["first letter's case"]("Sorry, I") == "sorry, I"
    assert VARIANTS["first letter's case"]("") == ""
    assert VARIANTS["letters and marks apart (NFD)"]("é") == "e\u0301"
    assert VARIANTS["compatibility forms (NFKC)"]("ﬁne…") == "fine..."
