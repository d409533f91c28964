"""What a search tells of itself in a reason, and what is read from one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.types.tries import Tries


@given(st.integers(0, 500), st.data())
def test_what_was_told_is_read_again_out_of_any_reason(tries: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, tries))
    first = data.draw(st.integers(1, tries - successes + 1)) if successes else 0
    made = Tries(tries, successes, first)
    assert Tries.read(f"a note; {made.told()}, 3 asks failed") == made


@pytest.mark.parametrize("numbers", [(1, 2, 1), (3, 1, 0), (3, 0, 1), (3, 2, 3), (-1, 0, 0), (0, 1, 1)])
def test_numbers_that_no_search_has_are_refused_and_never_read(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no search has"):
        Tries(*numbers)
    assert Tries.read("tries {}, successes {}, first at {}".format(*numbers)) is None


@pytest.mark.parametrize("reason", ["", "tries", "tries 3", "tries x, successes 1, first at 1"])
def test_other_reasons_hold_none(reason: str) -> None:
    assert Tries.read(reason) is None
