"""Numbers in short answers: one token each, however they are written, and never found inside another one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.judges.words import holds, words
from proofglass.registry import build
from proofglass.types import Attempt, Chat, Reply, Sample

UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def spelled(n: int) -> str:
    """0 <= n < 10^12 in English."""
    for scale, word in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if n >= scale:
            rest = n % scale
            join = " and " if 0 < rest < 100 else " "
            return f"{spelled(n // scale)} {word}" + (f"{join}{spelled(rest)}" if rest else "")
    if n < 20:
        return UNITS[n]
    return TENS[n // 10 - 2] + (f"-{UNITS[n % 10]}" if n % 10 else "")


@given(st.integers(0, 10**12 - 1) | st.integers(0, 2000))
def test_a_number_is_one_token_in_words_figures_and_with_thousands(n: int) -> None:
    said = spelled(n)
    for text in (said, said.replace("-", " "), f"{n}", f"{n:,}", f"{n:,}".replace(",", "\u00a0"), f"+{n}.0"):
        assert words(f"There are {text} kites.") == ["there", "are", str(n), "kites"], text
    if n:
        for text in (f"-{n}", f"\u2212{n:,}", f"minus {spelled(n)}"):
            assert words(text) == [f"-{n}"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("2.5", ["2.5"]),
        ("two point five", ["2.5"]),
        (".50 m", ["0.5", "m"]),
        ("2.", ["2"]),
        ("2,000", ["2000"]),
        ("2 thousand, 2.5 million", ["2000", "2500000"]),
        ("2-3 kites", ["2", "3", "kites"]),
        ("two-legged", ["2", "legged"]),
        ("one, two, three", ["1", "2", "3"]),
        ("twenty, three", ["23"]),  # punctuation is a blank
        ("three minus two", ["3", "minus", "2"]),
        ("1/2 past 2:30, v2.5.1", ["1/2", "past", "2:30", "v2", "5.1"]),
        ("a hundred and one; two hundred", ["a", "101", "200"]),
        ("two thousand three thousand", ["2000", "3000"]),
        ("None of them, and point taken", ["0", "of", "them", "and", "point", "taken"]),
        ("2nd \u00b2 \u0663", ["2nd", "2", "3"]),  # NFKC: a raised 2; an Arabic 3
        ("2 1/2, 2\u00bd or two and a half", ["2.5", "2.5", "or", "2.5"]),
        ("\u00bd and 1\u20442", ["1/2", "and", "1/2"]),
        ("three-quarters; three quarters", ["three_quarters", "3", "quarters"]),  # the latter may be coins
        ("2cm at 5pm, 2nd 3D", ["2", "cm", "at", "5", "pm", "2nd", "3d"]),
        ("No one, no-one; no", ["no", "nobody", "no", "nobody", "no"]),
        ("The cat\u2019s 'hat'", ["the", "cat", "s", "hat"]),
    ],
)
def test_what_a_text_says(text: str, tokens: list[str]) -> None:
    assert words(text) == tokens


@given(st.text())
def test_any_text_has_words_and_they_stay_the_same(text: str) -> None:
    once = words(text)
    assert all(once)
    assert holds(once, once) or not once


RIGHT = [
    ("three", "3"),
    ("There are 3.", "three"),
    ("Twenty-one!", "21"),
    ("2,000 people", "2000"),
    ("2.0", "2"),
    ("2cm", "2 cm"),
]
WRONG = [
    (text, "2")
    for text in ("2.5", "2,000", "-2", "1/2", "12", "two thousand", "minus two", "2:30", "2\u00bd", "two and a half")
]
WRONG += [("No one knows", "1"), ("three-quarters", "3")]


@pytest.mark.parametrize(("reply", "reference"), RIGHT + WRONG)
def test_both_judges_agree_on_a_number(reply: str, reference: str) -> None:
    sample = Sample("s", "d", Chat.user("how many?"), references=(reference,))
    attempt = Attempt(sample, sample.chat, Reply(reply))
    (wrong,) = build("judges", "wrong-answer").score([attempt])
    (match,) = build("judges", "answer-match").score([attempt])
    is_right = float((reply, reference) in RIGHT)
    assert (wrong.value, match.value) == (1 - is_right, is_right)


def test_vqa_accuracy_reads_numbers_alike() -> None:
    # 3 of 10 people said "3": 3 sets of nine hold 2 of them (2/3), 7 hold 3 (1): (3 * 2/3 + 7) / 10 = 0.9
    people = ("3", "three", "3.0", *(f"x{k}" for k in range(7)))
    sample = Sample("s", "d", Chat.user("how many?"), references=people)
    (score,) = build("judges", "wrong-answer", metric="vqa").score([Attempt(sample, sample.chat, Reply("Three."))])
    assert score.value == pytest.approx(0.1)
