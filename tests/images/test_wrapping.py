"""Lines within a limit, letters with their marks."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.images.wrapping import letters, wrapped

any_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=200)


def count(line):
    return len(letters(line))


@given(any_text, st.integers(1, 30))
def test_no_line_is_longer_and_no_letter_is_lost(text, limit):
    lines = wrapped(text, limit, count)
    assert all(count(line) <= limit for line in lines)
    assert "".join("".join(lines).split(" ")) == "".join(text.split(" "))


@given(st.lists(st.text("abc", min_size=1, max_size=6), max_size=30), st.integers(6, 30))
def test_every_line_is_full(words, limit):
    # Every word fits on a line: the first of the next line fits on this one no more, and lines hold the words in order.
    lines = wrapped(" ".join(words), limit, len)
    for line, following in pairwise(lines):
        assert len(line) + 1 + len(following.split(" ")[0]) > limit
    assert " ".join(lines).split() == words


def test_a_word_stays_whole_where_it_fits_on_a_line_of_its_own():
    assert wrapped("steps to mend a kite", 8, len) == ["steps to", "mend a", "kite"]
    assert wrapped("an electromechanical pen", 8, len) == ["an", "electrom", "echanica", "l pen"]


def test_line_ends_stay_and_blanks_between_words_are_one():
    assert wrapped("a  b\n\nc ", 9, len) == ["a b", "", "c"]


def test_a_letter_keeps_its_marks_and_joined_signs_stay_together():
    assert letters("q\u0303x") == ["q\u0303", "x"]
    assert letters("\U0001f468\u200d\U0001f469a") == ["\U0001f468\u200d\U0001f469", "a"]
    assert wrapped("q\u0303q\u0303q\u0303", 2, count) == ["q\u0303q\u0303", "q\u0303"]


def test_a_letter_that_fits_nowhere_is_an_error_or_stands_alone():
    with pytest.raises(ValueError, match="the letter 'm' alone is 12 wide, and a line 10"):
        wrapped("m", 10, lambda line: 12 * len(line))
    assert wrapped("mm", 10, lambda line: 12 * len(line), strict=False) == ["m", "m"]


def test_a_word_of_ten_thousand_letters_is_measured_a_few_times_a_line():
    asked = []

    def width(line):
        asked.append(len(line))
        return len(line)

    assert len(wrapped("x" * 10_000, 50, width)) == 200
    assert len(asked) < 200 * 20
    assert sum(asked) < 200 * 50 * 20 + 2 * 10_000
