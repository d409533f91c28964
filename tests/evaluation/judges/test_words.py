"""Numbers in short answers: one token each, however they are written, and never found inside another one."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from num2words import num2words

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
        ("2 000 or 12 000 000, not 2 500", ["2000", "or", "12000000", "not", "2", "500"]),
        ("\u20135, 2\u20133, twenty\u2010one", ["-5", "2", "3", "21"]),  # dashes
        ("three trillion, a thousand", ["3000000000000", "a", "1000"]),
        ("2cm at 5pm, 2nd 3D", ["2", "cm", "at", "5", "pm", "2nd", "3d"]),
        ("No one, no-one; no", ["no", "nobody", "no", "nobody", "no"]),
        ("point five; It's point two five or minus point oh five", ["0.5", "it", "s", "0.25", "or", "-0.05"]),
        (
            "at this point two, the point one makes, point taken, point ten",
            [
                "at",
                "this",
                "point",
                "2",
                "the",
                "point",
                "1",
                "makes",
                "point",
                "taken",
                "point",
                "10",
            ],
        ),
        ("two point five million, 2 point 5", ["2500000", "2.5"]),
        ("-$2, \u2212\u20ac3.50, $-4, $5-$6, a-$7", ["-2", "-3.5", "-4", "5", "6", "a", "7"]),
        ("- 3", ["-3"]),
        (" \u2013 $3.", ["-3"]),
        ("x = - 3 (- 4): - 5", ["x", "-3", "-4", "-5"]),
        ("5 - 3, kites - 3", ["5", "3", "kites", "3"]),
        ("- 3 kites\n- 2 drums", ["3", "kites", "2", "drums"]),
        ("I see:\n- 3 kites", ["i", "see", "3", "kites"]),
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


def in_words(n: Decimal) -> str:
    """As num2words spells it; a sign is lost there on what is smaller than 1."""
    return ("minus " if n < 0 else "") + num2words(abs(n) if n % 1 else abs(int(n)))


def forms_of(n: Decimal) -> list[str]:
    """A number in words and in figures: with thousands, with the signs that are written for minus, with zeros."""
    plain = f"{n:f}"
    found = [
        in_words(n),
        in_words(n).replace(",", "").replace("-", " "),
        plain,
        f"{n:,f}",
        f"{n:,f}".replace(",", "\u202f"),
    ]
    found += [f"{plain}0" if "." in plain else f"{plain}.0"]
    signs = ("\u2212", "\u2013", "minus ", "negative ") if n < 0 else ("+",)
    return found + [plain.replace("-", sign) if n < 0 else f"{sign}{plain}" for sign in signs]


NUMBERS = st.one_of(
    st.integers(-120, 120).map(Decimal),
    st.integers(-(10**21), 10**21).map(Decimal),
    st.decimals(-(10**6), 10**6, places=1, allow_nan=False),
    st.decimals(-100, 100, places=3, allow_nan=False).map(lambda n: n.normalize() + 0),
)


@settings(max_examples=300)
@given(NUMBERS, NUMBERS, st.data())
def test_judges_of_short_answers_agree_on_every_number(n: Decimal, other: Decimal, data: st.DataObject) -> None:
    n, other = n or Decimal(0), other or Decimal(0)  # no minus zero
    reference, reply = data.draw(st.sampled_from(forms_of(n))), data.draw(st.sampled_from(forms_of(other)))
    said = data.draw(st.sampled_from(["{}", "There are {} of them.", "{}!"])).format(reply)
    sample = Sample("s", "d", Chat.user("how many?"), references=(reference,) * 10)
    attempt = Attempt(sample, sample.chat, Reply(said))
    (wrong,) = build("judges", "wrong-answer").score([attempt])
    (match,) = build("judges", "answer-match").score([attempt])
    assert (1 - wrong.value, match.value) == (float(n == other), float(n == other)), (said, reference)
    (bare,) = build("judges", "vqa-accuracy").score([Attempt(sample, sample.chat, Reply(reply))])
    assert bare.value == float(n == other)


def test_long_numbers_are_exact_or_themselves() -> None:
    long = "1234567890" * 5
    assert words(f"-{long} or minus {long}") == [f"-{long}", "or", f"-{long}"]
    assert words(f"{long}1 {long}2") == [f"{long}1", f"{long}2"]
    assert words("9" * 5000 + " 1" + "0" * 5000 + "/3") == ["9" * 5000, "1" + "0" * 5000 + "/3"]


def test_vqa_accuracy_reads_numbers_alike() -> None:
    # 3 of 10 people said "3": 3 sets of nine hold 2 of them (2/3), 7 hold 3 (1): (3 * 2/3 + 7) / 10 = 0.9
    people = ("3", "three", "3.0", *(f"x{k}" for k in range(7)))
    sample = Sample("s", "d", Chat.user("how many?"), references=people)
    (score,) = build("judges", "wrong-answer", metric="vqa").score([Attempt(sample, sample.chat, Reply("Three."))])
    assert score.value == pytest.approx(0.1)
