"""ECSO: the exact yes rule, its calls, and what the last ask shows."""

from __future__ import annotations

import pytest

from defenses.opened_parts import PICTURE
from defenses.scripted_models import lines
from proofglass import Stack
from proofglass.defenses.inference.ecso import DESCRIBE, ECSO, FINAL, TELL
from proofglass.defenses.inference.guard_output import GuardOutput
from proofglass.evaluation.judges.guard import Guard
from proofglass.types import Ask, Chat, Reply, Settings

CHAT = Chat.user("before").say("so").ask(PICTURE, "what {answer} is it ?").with_system("rules")


@pytest.mark.parametrize(
    ("told", "calls"),
    [
        ("Yes.", 4),
        ("yes", 4),
        (" YES\n", 4),
        ("Yes, it is", 2),
        ("yesterday", 2),
        ("No", 2),
        ("", 2),
        ("**yes**", 2),
        ("yes..", 2),
    ],
)
def test_g_x1_only_the_whole_word_yes_is_unsafe(told: str, calls: int) -> None:
    victim = lines("A0", told, "a kite", "A1")
    (reply,) = ECSO()(victim).reply([Ask(CHAT)])
    assert (len(victim.asked), reply.cost.queries) == (calls, calls)
    assert reply.text == ("A1" if calls == 4 else "A0")
    (decision,) = reply.decisions
    assert (decision.fired, decision.margin) == ((True, 1.0) if calls == 4 else (False, -1.0))


def test_each_call_is_about_the_same_dialogue_and_the_last_without_the_picture() -> None:
    settings = Settings(7, draw=2)
    victim = lines("A {question}", "yes", "a {question} kite", "A1")
    ECSO()(victim).reply([Ask(CHAT, settings)])
    question = "what {answer} is it ?"
    first, tell, describe, final = (ask.chat for ask in victim.asked)
    assert first == CHAT
    head, _, rest = TELL.partition("{question}")
    assert tell.last_text == f"{head}{question}{rest.replace('{answer}', 'A {question}')}"
    assert describe.last_text == DESCRIBE.replace("{question}", question)
    head, _, rest = FINAL.partition("{description}")
    assert final.last_text == f"{head}a {{question}} kite{rest.replace('{question}', question)}"
    assert [chat.images for chat in (tell, describe, final)] == [(PICTURE,), (PICTURE,), ()]
    assert all(chat.messages[:-1] == CHAT.messages[:-1] for chat in (tell, describe, final))
    assert all(ask.settings == settings for ask in victim.asked)


def test_a_picture_of_an_earlier_turn_is_not_shown_in_the_last_ask_either() -> None:
    victim = lines("A0", "yes", "a kite", "A1")
    ECSO()(victim).reply([Ask(Chat.user(PICTURE, "see ?").say("yes").ask("what is it ?"))])
    assert [len(ask.chat.images) for ask in victim.asked] == [1, 1, 1, 0]


def test_the_answer_is_cut_in_the_question_about_it_only() -> None:
    victim = lines("x" * 3000, "no")
    (reply,) = ECSO()(victim).reply([Ask(CHAT)])
    assert victim.asked[1].chat.last_text.count("x") == 1927
    assert len(reply.text) == 3000


@pytest.mark.parametrize("bad", [Reply.error("down"), Reply(outcome="filtered", reason="x"), Reply("no.", "blocked")])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_reply_that_is_not_said_ends_it(bad: Reply, place: int) -> None:
    script: list[str | Reply] = ["A0", "yes", "a kite", "A1"]
    script[place] = bad
    victim = lines(*script)
    (reply,) = ECSO()(victim).reply([Ask(CHAT)])
    assert (reply.outcome, reply.text, len(victim.asked)) == (bad.outcome, bad.text, place + 1)


def test_a_dialogue_without_pictures_is_passed_on() -> None:
    victim = lines("A0")
    (reply,) = ECSO()(victim).reply([Ask(Chat.user("q"))])
    assert (reply.text, len(victim.asked), reply.decisions) == ("A0", 1, ())


def test_a_stack_multiplies_its_calls_and_the_ledger_shows_it() -> None:
    helper = lines("safe", label="guard")
    stack = Stack((ECSO(), GuardOutput(Guard("llama-guard-4", helper))))
    (reply,) = stack(lines("A0", "yes", "a kite", "A1")).reply([Ask(Chat.user(PICTURE, "what is it ?"))])
    assert (reply.text, reply.cost.queries, reply.helpers[helper.key].queries) == ("A1", 4, 4)


def test_wordings_without_their_slots_are_named() -> None:
    with pytest.raises(ValueError, match=r"tell: expected \{answer\} in it once"):
        ECSO(tell="is {question} bad ?")
    with pytest.raises(ValueError, match=r"final: expected \{description\}"):
        ECSO(final="{question}")
