"""The nouns: their shapes make the common lies impossible."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.types import Ask, Chat, Cost, Image, Message, Reply, Sample, Score, Settings, slot_number

texts = st.text(max_size=8)
counts = st.integers(0, 1000)
costs = st.builds(Cost, counts, counts, counts, counts, counts, st.just(0.0), st.just(0.0), counts)
turns = st.lists(st.sampled_from(["user", "assistant"]), min_size=1, max_size=4)


def image(level: int = 0) -> Image:
    return Image.from_array(np.full((2, 3, 3), level, np.uint8))


@st.composite
def chats(draw: st.DrawFn) -> Chat:
    """A dialogue with at least one user turn; some turns show a picture."""
    parts = st.lists(st.one_of(texts, st.integers(0, 3).map(image)), max_size=3).map(tuple)
    messages = [Message(role, draw(parts)) for role in draw(turns)]
    return Chat((Message("user", draw(parts)), *messages))


# ---------------------------------------------------------------- pictures


def test_a_float_picture_cannot_become_an_image() -> None:
    with pytest.raises(TypeError, match="expected a uint8 array, found float32"):
        Image.from_array(np.zeros((2, 2, 3), np.float32))


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 4), (0, 2, 3), (1, 2, 2, 3)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected shape \[H, W, 3\]"):
        Image.from_array(np.zeros(shape, np.uint8))


def test_an_image_does_not_change_with_the_array_it_came_from() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    found = Image.from_array(pixels)
    pixels[:] = 9
    assert found.array().max() == 0
    with pytest.raises(ValueError, match="read-only"):
        found.array()[0, 0, 0] = 1


def test_images_are_equal_by_pixels_and_size() -> None:
    # 2x3 and 3x2 zeros have the same bytes: the size belongs to the name.
    wide, tall = (Image.from_array(np.zeros(shape, np.uint8)) for shape in ((2, 3, 3), (3, 2, 3)))
    assert image(0) == wide
    assert hash(image(0)) == hash(wide)
    assert wide != tall
    assert image(0) != image(1)


# ---------------------------------------------------------------- dialogues


@given(chats(), texts)
def test_with_image_sets_one_picture_and_keeps_every_word(chat: Chat, text: str) -> None:
    new = image(9)
    changed = chat.with_image(new)
    assert changed.images[0] == new or chat.images
    assert new in changed.images
    assert len(changed.images) == max(len(chat.images), 1)
    assert [m.text for m in changed.messages] == [m.text for m in chat.messages]


@given(chats(), texts)
def test_with_text_replaces_the_last_user_turns_words_and_no_picture(chat: Chat, text: str) -> None:
    changed = chat.with_text(text)
    assert changed.last_text == text
    assert changed.images == chat.images
    assert len(changed.messages) == len(chat.messages)


@given(chats(), texts)
def test_a_system_prompt_is_replaced_and_removed_by_an_empty_one(chat: Chat, text: str) -> None:
    assert chat.with_system("first").with_system(text).system == text
    assert chat.with_system("first").with_system("") == chat


@given(chats())
def test_a_new_turn_comes_last_and_leaves_the_chat_alone(chat: Chat) -> None:
    before = chat.messages
    longer = chat.say("fine").ask("and now?")
    assert chat.messages == before
    assert longer.messages[: len(before)] == before
    assert [m.role for m in longer.messages[len(before) :]] == ["assistant", "user"]
    assert longer.last_text == "and now?"


def test_a_picture_needs_a_user_turn() -> None:
    with pytest.raises(ValueError, match="needs a user turn"):
        Chat().with_image(image())
    with pytest.raises(ValueError, match="no user turn"):
        Chat().say("hello").with_text("x")


def test_the_picture_goes_in_front_of_the_first_user_turns_text() -> None:
    chat = Chat.user("a").say("b").ask("c").with_system("s").with_image(image())
    assert chat.messages[1].parts == (image(), "a")


# ---------------------------------------------------------------- settings, replies, scores


@pytest.mark.parametrize(
    ("field", "value"), [("max_new_tokens", 0), ("temperature", -0.1), ("top_p", 0.0), ("top_p", 1.1)]
)
def test_settings_name_the_field_at_fault(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        Settings(**{field: value})  # type: ignore[arg-type]


def test_an_error_has_no_text_for_a_judge() -> None:
    with pytest.raises(ValueError, match="has no text"):
        Reply("oops", outcome="error", reason="why")


def test_what_a_filter_let_through_is_said_and_what_a_defense_shows_is_not() -> None:
    said = [Reply("a"), Reply(""), Reply("sure, first", "filtered"), Reply("sure, first", "refused")]
    said += [Reply("a", reasoning="hm")]
    assert all(reply.is_said and not reply.is_withheld for reply in said)
    withheld = [Reply("", "filtered"), Reply(" \n", "filtered"), Reply("Not here.", "blocked"), Reply("", "refused")]
    assert all(reply.is_withheld and not reply.is_said for reply in withheld)


def test_a_thought_without_an_answer_is_not_said_and_nobody_withheld_it() -> None:
    cut = Reply("", finish="length", reasoning="first I would")
    assert not cut.is_said
    assert not cut.is_withheld
    failed = Reply.error("500")
    assert not failed.is_said
    assert not failed.is_withheld


def test_replies_can_be_told_apart_by_what_helpers_cost_and_still_be_hashed() -> None:
    plain, helped = Reply("a"), Reply("a", helpers={"h": Cost(queries=1)})
    assert plain != helped
    assert len({plain, helped}) == 2


def test_an_error_says_why_and_counts_as_a_query() -> None:
    with pytest.raises(ValueError, match="says why"):
        Reply(outcome="error")
    assert Reply.error("down").cost.queries == 1


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_score_lies_between_0_and_1(value: float) -> None:
    with pytest.raises(ValueError, match=r"in 0\.\.1"):
        Score("j", value)


def test_a_score_of_none_says_why() -> None:
    with pytest.raises(ValueError, match="says why"):
        Score("j", None)
    assert Score.unjudged("j", "empty").reason == "empty"


def test_a_sample_without_a_cluster_is_its_own() -> None:
    assert Sample("a", "d", Chat.user("?")).cluster == "a"
    assert Sample("a", "d", Chat.user("?"), cluster="c").cluster == "c"


class Helped:
    key = "h"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply("yes") for _ in asks]


def test_an_ask_about_another_chat_keeps_the_settings_and_goes_to_the_victim_unless_a_helper_is_named() -> None:
    helper = Helped()
    ask = Ask(Chat.user("a"), Settings(5))
    assert ask.on(Chat.user("b")) == Ask(Chat.user("b"), Settings(5), None)
    assert ask.on(Chat.user("b"), to=helper) == Ask(Chat.user("b"), Settings(5), helper)
    assert ask.on(Chat.user("b"), to=helper).on(Chat.user("c")).to is None


@pytest.mark.parametrize("to", ["helper", 3])
def test_a_helper_is_a_model_not_a_name(to: object) -> None:
    with pytest.raises(TypeError, match=r"to: expected a model \(with key and reply\), found"):
        Ask(Chat.user("a"), to=to)


@given(costs, costs, costs)
def test_costs_add_up_in_any_order_and_memory_peaks(a: Cost, b: Cost, c: Cost) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Cost() == a
    assert (a + b).peak_bytes == max(a.peak_bytes, b.peak_bytes)
    assert (a + b).queries == a.queries + b.queries


@pytest.mark.parametrize(
    "noun", [Message("user", ()), Chat(), Settings(), Ask(Chat()), Cost(), Reply(), Score("j", 1.0)]
)
def test_nouns_are_frozen(noun: object) -> None:
    field = dataclasses.fields(noun)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(noun, field, None)


def grey(level: int) -> Image:
    return Image.from_array(np.full((2, 2, 3), level, np.uint8))


def test_a_picture_slot_is_a_number_over_all_turns():
    chat = Chat.user(grey(1), "first").say("a").ask("look", grey(2), "and", grey(3))
    assert chat.with_image(grey(9), "image2").images == (grey(1), grey(9), grey(3))
    assert chat.with_image(grey(9), "image2").messages[2].parts == ("look", grey(9), "and", grey(3))
    changed = chat.with_images({"image3": grey(8), "image": grey(7)})
    assert changed.images == (grey(7), grey(2), grey(8))
    assert changed.with_images({}) == changed


def test_a_further_picture_goes_right_behind_the_last_one():
    assert Chat.user("q").with_images({"image2": grey(2), "image": grey(1)}) == Chat.user(grey(1), grey(2), "q")
    two = Chat.user(grey(1), "q").say("a").ask(grey(2), "r").with_image(grey(3), "image3")
    assert two.messages[2].parts == (grey(2), grey(3), "r")
    with pytest.raises(ValueError, match="slot 'image3' is of its picture 3, found 1 pictures"):
        Chat.user(grey(1), "q").with_image(grey(3), "image3")


@pytest.mark.parametrize("name", ["picture", "image0", "image1", "image02", "image-2", "image2x", "", "Image"])
def test_another_name_of_a_slot_is_refused(name):
    with pytest.raises(ValueError, match="slot: expected 'image', 'image2', 'image3'"):
        slot_number(name)


def test_the_question_of_a_sample_is_the_plain_one_where_its_data_set_tells_it() -> None:
    wrapped = Sample(
        "1", "d", Chat.user("Answer as the miller: where is the ferry?"), meta={"question": "Where is it?"}
    )
    assert wrapped.question == "Where is it?"
    for meta in ({}, {"question": " "}, {"question": 3}):
        assert Sample("1", "d", Chat.user("Where?"), meta=meta).question == "Where?"
