"""ETA: when it intervenes, which candidate wins, and how often it asks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from defenses.scripted_models import Flat, Holds, lines
from proofglass.defenses.inference.eta import ETA, GO_ON, INSTRUCTION, PREFIX, UNSAFE, sentence_of
from proofglass.types import Ask, Chat, Image, Reply, Settings

# The picture of level 0 looks unsafe (cosine 1 with the words for it), that of level 9 does not (cosine 0).
FLAT = Flat({0: (1.0, 0.0), 9: (0.0, 1.0)}, {UNSAFE: (1.0, 0.0), "Left .": (1.0, 0.0), "Right .": (0.0, 1.0)})
GOOD = {"good": 0.1, "soso": 0.05, "bad": 0.01}


def level(value: int) -> Image:
    return Image.from_array(np.full((4, 4, 3), value, np.uint8))


def eta(**fields):  # type: ignore[no-untyped-def]
    return ETA(**{"reward": Holds(GOOD, says="good"), "encoder": FLAT, **fields})


CHAT = Chat.user(level(0), "what is it ?")


def test_g_et1_the_reward_alone_first_then_with_a_share_of_the_similarity() -> None:
    rewards, similar = (0.10, 0.12, 0.11), (0.30, 0.20, 0.24)
    assert [eta().best(rewards, similar, i, False) for i in (1, 2, 3)] == [1, 0, 0]
    assert eta().best(rewards, similar, 2, True) == 1
    assert eta().best((0.1, 0.1), (0.2, 0.2), 2, False) == 0


@pytest.mark.parametrize(
    ("text", "picture", "margin", "calls"),
    [
        ("a good one", 0, -0.04, 1),  # the reward lies above .06
        ("a bad one", 9, -0.16, 1),  # the picture does not look unsafe
        ("a good one", 9, -0.16, 1),
        ("a soso one", 0, 0.01, 1 + 5),
        ("a bad one", 0, 0.05, 1 + 5),
    ],
)
def test_it_intervenes_where_answer_and_picture_look_unsafe(text: str, picture: int, margin: float, calls: int) -> None:
    victim = lines(text, "Right .")
    (reply,) = eta()(victim).reply([Ask(Chat.user(level(picture), "q"))])
    (decision,) = reply.decisions
    assert decision.margin == pytest.approx(margin, abs=1e-6)
    assert decision.fired == (calls > 1)
    assert (len(victim.asked), reply.cost.queries) == (calls, calls)
    assert (reply.text == text) == (calls == 1)


@pytest.mark.parametrize(("post", "pre", "fires"), [(0.1, 1.0, True), (0.1, 0.0, True), (0.09, 1.0, False)])
def test_it_intervenes_from_zero_up(post: float, pre: float, fires: bool) -> None:
    flat = Flat({0: (1.0, 0.0)}, {UNSAFE: (1.0, 0.0)})
    (reply,) = eta(post=post, pre=pre, encoder=flat)(lines("good", "Right .")).reply([Ask(CHAT)])
    assert reply.decisions[0].fired == fires


def test_it_writes_sentence_by_sentence_with_draws_of_their_own() -> None:
    victim = lines("a bad one", "Left . And more", "Left . And more", "good . ", "Right . And", "Right .")
    settings = Settings(max_new_tokens=40, draw=1)
    (reply,) = eta(candidates=2, sentences=3)(victim).reply([Ask(CHAT, settings)])
    first, *drawn = victim.asked
    assert first.settings == settings
    assert [ask.chat for ask in drawn[:2]] == [CHAT.say(PREFIX).ask(GO_ON)] * 2
    # No reward in the first two: the first candidate wins. Then "good ." wins by its reward (and ends the answer).
    assert drawn[2].chat == CHAT.say(f"{PREFIX} Left .").ask(GO_ON)
    assert reply.text == f"{PREFIX} Left . good ."
    assert reply.finish == "stop"
    assert len({ask.settings.draw for ask in drawn}) == 4
    assert {ask.settings.temperature for ask in drawn} == {1.5}
    assert {ask.settings.max_new_tokens for ask in drawn} == {40}


def test_the_reward_is_held_against_the_instruction_and_never_sees_the_question() -> None:
    reward = Holds(GOOD, says="good")
    ETA(reward, FLAT, candidates=1, sentences=1)(lines("a bad one", "Right .")).reply([Ask(CHAT)])
    assert [attempt.conversation for attempt in reward.seen] == [Chat.user(INSTRUCTION)] * 2
    assert [attempt.reply.text for attempt in reward.seen] == ["a bad one", f"{PREFIX} Right ."]


def test_an_answer_has_no_more_sentences_than_it_may() -> None:
    victim = lines("a bad one", "On and on . And")
    (reply,) = eta(candidates=2, sentences=3)(victim).reply([Ask(CHAT)])
    assert (reply.text, reply.finish) == (f"{PREFIX} " + "On and on . " * 2 + "On and on .", "length")
    assert reply.cost.queries == 1 + 2 * 3


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_error_is_an_error(place: int) -> None:
    script: list[str | Reply] = ["a bad one", "Left .", "Left ."]
    script[place] = Reply.error("down")
    (reply,) = eta(candidates=2)(lines(*script)).reply([Ask(CHAT)])
    assert (reply.outcome, reply.reason) == ("error", "down")


WITHHELD = [
    Reply(outcome="filtered", reason="theirs"),
    Reply(outcome="refused", reason="theirs"),
    Reply("no .", "blocked", reason="theirs"),
    Reply("As an", "filtered", reason="theirs"),
    Reply("", reasoning="hm"),
]


@pytest.mark.parametrize("held", WITHHELD)
def test_a_candidate_that_was_withheld_is_none_and_where_all_are_so_is_the_reply(held: Reply) -> None:
    (reply,) = eta(candidates=3, sentences=1)(lines("a bad one", held, "Right .", held)).reply([Ask(CHAT)])
    assert (reply.outcome, reply.text) == ("ok", f"{PREFIX} Right .")
    (reply,) = eta(candidates=2)(victim := lines("a bad one", held)).reply([Ask(CHAT)])
    assert (reply.outcome, reply.reason, reply.is_said, len(victim.asked)) == (held.outcome, held.reason, False, 3)
    assert reply.text == ("no ." if held.outcome == "blocked" else "")
    assert reply.decisions[-1].fired


def test_a_model_that_says_nothing_more_has_given_no_answer() -> None:
    (reply,) = eta(candidates=2)(lines(Reply("a bad one", choices={"a": 0.9}), "")).reply([Ask(CHAT)])
    assert (reply.outcome, reply.text, reply.choices) == ("ok", "", {})


def test_a_reward_that_cannot_be_had_is_an_error() -> None:
    (reply,) = eta()(lines("an odd one")).reply([Ask(CHAT)])
    assert reply.outcome == "error"
    assert "it is odd" in reply.reason


@pytest.mark.parametrize("passed", [Reply(""), Reply("no", "blocked"), Reply(outcome="filtered")])
def test_what_is_no_answer_is_passed_on(passed: Reply) -> None:
    assert eta()(victim := lines(passed)).reply([Ask(CHAT)])[0].outcome == passed.outcome
    assert len(victim.asked) == 1


def test_without_a_picture_the_answer_stands() -> None:
    (reply,) = eta()(victim := lines("a bad one")).reply([Ask(Chat.user("q"))])
    assert (reply.text, reply.decisions, len(victim.asked)) == ("a bad one", (), 1)


def test_a_judge_that_says_bad_is_turned_round() -> None:
    turned = eta(reward=Holds({"bad": 0.99}, says="bad"))
    (reply,) = turned(lines("a bad one", "Right .")).reply([Ask(CHAT)])
    assert reply.decisions[0].margin == pytest.approx(0.05)
    with pytest.raises(ValueError, match="reward: expected a judge that says good or bad"):
        eta(reward=Holds(says="refused"))


@pytest.mark.parametrize(
    ("text", "finish", "sentence", "ends"),
    [
        ("One . Two .", "stop", "One .", False),
        ("One .", "stop", "One .", True),
        ("One .", "length", "One .", False),
        ("no stop", "stop", "no stop", True),
        ("no stop", "length", "no stop", False),
        ("", "stop", "", True),
    ],
)
def test_a_sentence_ends_at_its_first_stop(text: str, finish: str, sentence: str, ends: bool) -> None:
    assert sentence_of(replace(Reply(text), finish=finish)) == (sentence, ends)  # type: ignore[arg-type]
