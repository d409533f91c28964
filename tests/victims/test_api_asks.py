"""What the API victim sends, what an answer is, and what the cache keeps of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.types import Ask, Chat, Cost, Image, Reply, Settings
from proofglass.victims.api.cache import Cache
from proofglass.victims.api.calls import reply_of
from proofglass.victims.api.provider import Answer, estimate, merged, said_in, thought_apart


def picture(seed: int = 0, side: int = 8) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


# ------------------------------------------------------------------------------------------- what answers and asks are


def test_what_an_answer_means() -> None:
    counted = (10, 5, 0, 0)
    assert reply_of(Answer("yes", "m", "stop", tokens=counted)) == Reply("yes")
    assert reply_of(Answer("ye", "m", "max_tokens", tokens=counted)) == Reply("ye", finish="length")
    assert reply_of(Answer("part", "m", "content_filter", "hate", counted)) == Reply("part", "filtered", reason="hate")
    assert reply_of(Answer(" ", "m", "content_filter", "hate", counted)) == Reply("", "filtered", reason="hate")
    assert reply_of(Answer(" \n", "m", "stop", tokens=counted)).reason == "empty answer"
    assert "max_new_tokens" in reply_of(Answer("", "m", "max_tokens", tokens=counted)).reason
    assert (
        reply_of(Answer("too long", "m", "model_length", "8192 tokens")).reason == "too long for the model: 8192 tokens"
    )
    own = reply_of(Answer("", "m", "model_length", "too long for the model: 9 of 8"))  # an endpoint of ours
    assert (own.reason, own.fault) == ("too long for the model: 9 of 8", "length")
    blocked = Answer("Not here.", "m", "stop", "blocked by wall", counted, blocked=True)
    assert reply_of(blocked) == Reply("Not here.", "blocked", reason="blocked by wall")


def test_a_refusal_by_the_provider_is_neither_its_filter_nor_an_answer() -> None:
    counted = (10, 5, 0, 0)
    withheld = Answer("", "m", "stop", "I'm sorry.", counted, refused=True)
    assert reply_of(withheld) == Reply("", "refused", reason="I'm sorry.")
    partly = Answer("first", "m", "content_filter", "", counted, refused=True)
    assert reply_of(partly) == Reply("first", "refused", reason="refused by the provider")
    assert reply_of(partly).is_said
    assert reply_of(withheld).is_withheld


def test_what_a_model_thought_stays_beside_its_answer() -> None:
    counted = (10, 5, 0, 0)
    assert reply_of(Answer("yes", "m", "stop", tokens=counted, reasoning="hm")) == Reply("yes", reasoning="hm")
    cut = reply_of(Answer("", "m", "max_tokens", tokens=counted, reasoning="first I"))
    assert cut == Reply("", finish="length", reasoning="first I")
    assert not cut.is_said


def choice(stop: str = "stop", details: Any = None, **message: Any) -> Any:
    """What Inspect hands over of one answer."""
    model = pytest.importorskip("inspect_ai.model")
    made = model.ChatMessageAssistant(**message)
    return model.ChatCompletionChoice(message=made, stop_reason=stop, stop_details=details)


def test_the_parts_of_an_answer_as_inspect_hands_them_over() -> None:
    model = pytest.importorskip("inspect_ai.model")
    text, thought = model.ContentText, model.ContentReasoning
    said = said_in(choice(content=[thought(reasoning="hm"), text(text="yes")]))
    assert (said.text, said.reasoning, said.is_refused) == ("yes", "hm", False)
    hidden = said_in(choice(content=[thought(reasoning="ciphered", redacted=True, summary="in short"), text(text="y")]))
    assert (hidden.text, hidden.reasoning) == ("y", "in short")
    refused = said_in(choice(content=[text(text="I'm sorry.", refusal=True)]))
    assert (refused.text, refused.refusal, refused.is_refused) == ("", "I'm sorry.", True)
    stopped = said_in(choice("content_filter", model.StopDetails(type="refusal", category="cyber"), content="first"))
    assert (stopped.text, stopped.is_refused) == ("first", True)
    assert not said_in(choice("content_filter", model.StopDetails(type="SAFETY"), content="")).is_refused


@pytest.mark.parametrize(
    ("text", "thought", "left"),
    [
        ("<think>hm</think>", "hm", ""),
        ("\n<think>hm</think> \n", "hm", ""),
        ("<think>cut in the mid", "cut in the mid", ""),
        ("(no content)", "", ""),
        ("<think>hm</think>yes", "hm", "yes"),
        ("I <think>", "", "I <think>"),
        ("yes", "", "yes"),
        (" yes\n", "", " yes\n"),
    ],
)
def test_a_thought_is_no_answer(text: str, thought: str, left: str) -> None:
    assert thought_apart(text) == (thought, left)


@given(st.text(max_size=200))
def test_an_estimate_is_never_below_one_token_per_character_or_byte(text: str) -> None:
    assert estimate(Chat.user(text)) >= len(text.encode("utf-8", "replace"))


def test_pictures_have_an_estimate_of_their_size_or_of_the_prices_file() -> None:
    assert estimate(Chat.user(picture(side=100))) == 16 + 1500 + 20
    assert estimate(Chat.user(picture(), picture()), image_tokens=85) == 16 + 170


def test_turns_of_one_role_become_one() -> None:
    chat = Chat.user("a").ask(picture()).say("b").ask("c")
    assert [m.role for m in merged(chat).messages] == ["user", "assistant", "user"]
    assert merged(chat).messages[0].parts == ("a", picture())
    assert merged(merged(chat)) == merged(chat)


# ---------------------------------------------------------------------------------------------------------- cache


def test_only_answers_are_cached(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", {"model": "m"})
    ask = Ask(Chat.user(picture(), "what?"))
    for bad in (Reply.error("500"), Reply("cut", "filtered", reason="no"), Reply(""), Reply("stop", "blocked")):
        cache.put(ask, bad, "m")
    assert not list(tmp_path.rglob("*.json"))
    warm = Ask(ask.chat, Settings(temperature=0.7))
    cache.put(warm, Reply("yes"), "m")
    assert cache.get(warm) is None
    cache.put(ask, Reply("yes", finish="length", cost=Cost(tokens_in=5, money=1.0)), "m")
    assert cache.get(ask) == Reply("yes", finish="length", cost=Cost(queries=1))


@pytest.mark.parametrize(
    ("origin", "ask"),
    [
        ({"model": "other"}, Ask(Chat.user(picture(), "what?"))),
        ({"model": "m"}, Ask(Chat.user(picture(1), "what?"))),
        ({"model": "m"}, Ask(Chat.user(picture(), "who?"))),
        ({"model": "m"}, Ask(Chat.user("what?", picture()))),
        ({"model": "m"}, Ask(Chat.user(picture(), "what?").with_system("brief"))),
        ({"model": "m"}, Ask(Chat.user(picture(), "what?"), Settings(max_new_tokens=7))),
    ],
)
def test_an_ask_that_differs_in_anything_is_another(tmp_path: Path, origin: dict[str, str], ask: Ask) -> None:
    Cache(tmp_path, {"model": "m"}).put(Ask(Chat.user(picture(), "what?")), Reply("yes"), "m")
    assert Cache(tmp_path, origin).get(ask) is None


def test_a_damaged_file_is_no_answer(tmp_path: Path) -> None:
    cache, ask = Cache(tmp_path, {}), Ask(Chat.user("what?"))
    cache.put(ask, Reply("yes"), "m")
    for damaged in (
        '{"text": "ye',
        '{"text": 5, "finish": "stop"}',
        '{"text": "", "finish": "stop"}',
        '{"text": "yes", "finish": "perhaps"}',
        '{"text": null, "finish": null}',
        "[]",
    ):
        cache.path(ask).write_text(damaged)
        assert cache.get(ask) is None, damaged
