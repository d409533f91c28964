"""Edit distance and longest common subsequence against their tables, and on long texts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from nltk.metrics.distance import edit_distance

from proofglass.evaluation.similarity.edits import common_length, common_places, levenshtein

TEXT = st.text("abc🙂é", max_size=40)


@given(TEXT, TEXT)
def test_the_distance_is_nltks(one: str, other: str) -> None:
    assert levenshtein(one, other) == edit_distance(one, other)


def test_known_distances() -> None:
    assert [levenshtein(*pair) for pair in (("kitten", "sitting"), ("", "kite"), ("kite", ""), ("", ""))] == [
        3,
        4,
        4,
        0,
    ]
    assert levenshtein(["a", "red", "kite"], ["a", "kite"]) == 1  # of words, where words are handed over


@given(TEXT, TEXT)
def test_a_subsequence_is_one_of_both_and_none_is_longer(one: str, other: str) -> None:
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, mine in enumerate(one, 1):
        for j, theirs in enumerate(other, 1):
            table[i][j] = table[i - 1][j - 1] + 1 if mine == theirs else max(table[i - 1][j], table[i][j - 1])
    places = common_places(one, other)
    left = iter(other)
    assert all(one[place] in left for place in places)  # in this order
    assert sorted(set(places)) == places
    assert len(places) == common_length(one, other) == common_length(other, one) == table[-1][-1]


def test_long_texts_are_counted_in_bits() -> None:
    one, other = "ab" * 15_000, "ba" * 15_000
    assert levenshtein(one, other) == 2
    assert common_length(one, other) == 29_999
