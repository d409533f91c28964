"""Which rows teach a detector and a detoxifier what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.defenses.training.answers import Answer, Pair, pair_of, pairs_of
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.types import BadSample, Chat, Sample

NO = "no ."
JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.text(max_size=2))


def row(**told: Any) -> Sample:
    return Sample("s1", "made", Chat.user("why ?"), **told)


@pytest.mark.parametrize(
    ("meta", "labels", "accepted"),
    [
        ({}, (True, False), "a kite"),
        ({"accepted_safe": False}, (False, False), NO),
        ({"rejected_safe": True}, (True, True), ""),
    ],
    ids=["as preferred", "both harmful: a refusal is accepted", "both harmless: nothing to rewrite"],
)
def test_a_preference_pair_teaches_both_parts(meta: dict[str, Any], labels: tuple[bool, bool], accepted: str) -> None:
    found = pair_of(row(references=("a kite",), meta={"rejected": "a drum", **meta}), NO)
    assert found == Pair("s1", "why ?", Answer("a kite", labels[0]), Answer("a drum", labels[1]), accepted)


def test_a_labelled_reply_is_one_answer_and_a_harmful_one_stands_beside_a_refusal() -> None:
    safe = pair_of(row(meta={"reply": "a drum", "safe": True}), NO)
    harmful = pair_of(row(meta={"reply": "a drum", "safe": False}), NO)
    assert safe.answers == (Answer("a drum", True),)
    assert (harmful.answers, harmful.accepted) == ((Answer(NO, True), Answer("a drum", False)), NO)


def test_a_safe_response_is_a_harmless_answer() -> None:
    assert pair_of(row(meta={"response": "no , a kite"}), NO).answers == (Answer("no , a kite", True),)


def test_of_the_testbed_what_complies_with_a_sealed_request_is_harmful_and_other_answers_are_not() -> None:
    sealed, *_ = TestbedData("restricted", n=1, craft_n=2).crafting()
    assert pair_of(sealed, NO).other == Answer(sealed.references[0], False)
    for part in ("benign", "borderline"):
        for each in TestbedData(part, n=1, craft_n=9).crafting():
            assert pair_of(each, NO).answers == (Answer(each.references[0], True),)


@pytest.mark.parametrize(
    "told",
    [
        {"references": ("a",), "meta": {"rejected": " "}},
        {"references": ("a",), "meta": {"rejected": None}},
        {"references": ("a",), "meta": {"rejected": ["b"]}},
        {"references": ("a  b",), "meta": {"rejected": "a b"}},
        {"references": (), "meta": {"rejected": "b"}},
        {"references": "a", "meta": {"rejected": "b"}},
        {"references": ("",), "meta": {"rejected": "b"}},
        {"references": ("a",), "meta": {"rejected": "b", "accepted_safe": 1}},
        {"references": ("a",), "meta": {"rejected": "b", "rejected_safe": None}},
        {"meta": {"reply": "", "safe": True}},
        {"meta": {"reply": "b", "safe": "no"}},
        {"meta": {"response": " "}},
        {"meta": {"response": None}},
        {"meta": {"request": ["a", "b", "c"]}},
        {"references": ("a refusal, or what is refused",)},
        {"expected": "comply"},
        {"expected": "comply", "references": True},
        {"meta": None},
    ],
)
def test_a_row_that_says_nothing_costs_itself_and_says_why(told: dict[str, Any]) -> None:
    good = row(expected="comply", references=("a kite",))
    pairs, left = pairs_of([row(**told), BadSample("s2", "made", "broken"), good], (NO,))
    assert [pair.answers for pair in pairs] == [(Answer("a kite", True),)]
    assert [each.id for each in left] == ["s1", "s2"]
    assert all(each.reason for each in left)


@given(
    JUNK
    | st.dictionaries(st.sampled_from(["rejected", "reply", "safe", "request", "accepted_safe", "response"]), JUNK),
    JUNK,
)
def test_whatever_a_row_holds_it_teaches_answers_with_words_or_is_left_out(meta: Any, references: Any) -> None:
    pairs, left = pairs_of([row(references=references, meta=meta)], (NO,))
    assert len(pairs) + len(left) == 1
    assert all(answer.text.strip() for pair in pairs for answer in pair.answers)


def test_refusals_are_taken_in_turn() -> None:
    rows = [Sample(str(k), "made", Chat.user("why ?"), meta={"reply": "b", "safe": False}) for k in range(3)]
    assert [pair.accepted for pair in pairs_of(rows, ("x", "y"))[0]] == ["x", "y", "x"]
