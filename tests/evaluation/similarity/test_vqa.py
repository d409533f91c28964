"""VQA accuracy and the official cleaning of answers."""

from __future__ import annotations

import pytest

from proofglass.evaluation.similarity.vqa import CONTRACTIONS, accuracy, cleaned, official_accuracy


@pytest.mark.parametrize(("k", "value"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_the_mean_over_ten_sets_of_nine(k: int, value: float) -> None:
    assert accuracy("kite", ["kite"] * k + [f"other {n}" for n in range(10 - k)]) == pytest.approx(value)


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("The two kites", "2 kites"),
        ("ten,eleven", "10 eleven"),  # a comma between letters becomes a blank; words are known to ten
        ("2,000 km/h", "2000 kmh"),  # with a comma in a number every mark goes
        ("red / blue", "red blue"),
        ("well-known", "well known"),
        ("3.5 m.", "3.5 m"),
        (" none\n", "0"),
        ("dont couldn'tve couldnt've 'ow'sat", "don't couldn't've couldn't've 'ow's'at"),
        ("somebody'd", "somebodyd"),  # as the official table has it
        ("it's", "it's"),
        ("a", ""),
        ("." * 40, "." * 8),  # only the first 32 points go
    ],
)
def test_cleaned_as_the_official_code_does(reply: str, found: str) -> None:
    assert cleaned(reply) == found


def test_contractions_are_an_option_and_each_lacks_one_apostrophe() -> None:
    assert cleaned("dont", contractions=False) == "dont"
    assert len(CONTRACTIONS) == 114
    assert all(short.replace("'", "") == full.replace("'", "") for short, full in CONTRACTIONS.items())


def test_answers_that_all_agree_are_left_as_they_stand() -> None:
    people = ["well-known"] * 10
    assert official_accuracy("well-known", people) == 0  # the reply lost its dash, they did not
    assert official_accuracy("well-known", [*people[:9], "known"]) == 1


def test_one_answer_is_no_vote() -> None:
    with pytest.raises(ValueError, match="answers: expected those of 10 people, found 1"):
        accuracy("kite", ["kite"])
