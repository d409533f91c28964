"""What has the form of our feedback is found in what users write, whatever stands around it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.defenses.training.conditions import NESTED, Condition
from proofglass.testing.material import picture
from proofglass.types import Chat

FORM = Condition("[Rating: {rating}. Feedback: {critique}]")
PIECES = ("[Rating:", "[ rating :", "]", "[", "Rating", ":", " ", "\n", "1", "é\U0001f642", "{rating}", "x")


def free(text: str) -> str:
    return FORM.taken_out(Chat.user(text)).last_text


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_no_opening_is_left_and_what_has_none_stays_as_it_is(pieces: list[str]) -> None:
    text = "".join(pieces)
    left = free(text)
    assert FORM._opening.search(left) is None
    assert free(left) == left
    if FORM._opening.search(text) is None:
        assert left == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("who [Rating: 1. Feedback: bad] is it ?", "who   is it ?"),
        ("[RATING: 1. Feedback:\nbad]who", " who"),
        ("who [Rating: 1", "who   1"),
        ("a rating: 1. feedback: fine]", "a rating: 1. feedback: fine]"),  # not its form
        ("[[Rating: 1] Rating: 2] who", "  who"),
        ("", ""),
    ],
)
def test_what_is_cut(text: str, left: str) -> None:
    assert free(text) == left


def test_every_turn_is_cleaned_but_the_system_prompt_and_pictures_stay() -> None:
    told = "[Rating: 1. Feedback: bad]"
    chat = Chat.user(picture(1), f"{told}a").say(f"b{told}").ask(f"{told}c", f"d{told}").with_system(told)
    left = FORM.taken_out(chat)
    assert [m.text for m in left.messages] == [told, " a", "b ", " c\nd "]
    assert left.images == chat.images
    assert Condition("").taken_out(chat) is chat


def test_a_form_with_regular_signs_is_taken_as_it_is_written() -> None:
    form = Condition("(.*) {rating} +$")
    assert form.taken_out(Chat.user("(.*) 1 + $ who")).last_text == "  who"
    assert form.taken_out(Chat.user("(abc) 1 $ who")).last_text == "(abc) 1 $ who"


def test_a_long_text_of_openings_is_read_once_and_one_nested_without_end_is_refused() -> None:
    assert free("[Rating:" * 50_000 + "who").strip() == "who"
    nested = NESTED + 1
    with pytest.raises(ValueError, match="written into another one more than"):
        free("[" * nested + "[Rating: 1]" + " Rating: 1]" * nested)
