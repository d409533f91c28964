"""DPS: who is shown what, how often, and which observation counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defenses.scripted_models import Lines, lines
from proofglass.defenses.inference.dps import (
    ADVISE,
    ANSWER,
    DEFINITE,
    DESCRIBE,
    DPS,
    SHORTEN,
    STRONG,
    WEAK,
    centre,
    without_boxes,
)
from proofglass.types import Ask, Chat, Image, Reply, Settings

PICTURE = Image.from_array(np.arange(12 * 8 * 3, dtype=np.uint8).reshape(12, 8, 3))
CHAT = Chat.user(PICTURE, "what {found} is it ?").with_system("rules")
LONG = "word " * 21


def run(*strong: str | Reply, weak: Lines | None = None, secretary: Lines | None = None, chat: Chat = CHAT, **more):  # type: ignore[no-untyped-def]
    victim = lines(*strong)
    defense = DPS(weak=weak, secretary=secretary, **more)
    (reply,) = defense(victim).reply([Ask(chat, Settings(9, draw=2))])
    return reply, victim


def weak_of(*texts: str | Reply) -> Lines:
    return lines(*texts, label="weak")


def secretary_of(*texts: str | Reply) -> Lines:
    return lines(*texts, label="secretary")


def test_three_calls_of_the_victim_two_of_the_agent_two_of_the_secretary() -> None:
    weak, secretary = weak_of("a kite", "paper on a string"), secretary_of("Yes.", "nothing odd")
    reply, victim = run("A0", "A1", "A2", weak=weak, secretary=secretary)
    assert reply.text == "A2"
    assert (reply.cost.queries, reply.helpers[weak.key].queries, reply.helpers[secretary.key].queries) == (3, 2, 2)
    strong = CHAT.with_system(f"rules\n{STRONG}")
    advised = strong.say("A0").ask(ADVISE.replace("{seen}", "a kite"))
    told = ANSWER.replace("{question}", "what {found} is it ?", 1).replace("{found}", "nothing odd", 1)
    assert [ask.chat for ask in victim.asked] == [strong, advised, advised.say("A1").ask(PICTURE, told)]
    part = centre(PICTURE)
    local = Chat.user(part, "what {found} is it ?").with_system(WEAK)
    assert [ask.chat for ask in weak.asked] == [local, local.say("a kite").ask(part, DESCRIBE)]
    assert [ask.chat.last_text for ask in secretary.asked] == [DEFINITE + "a kite", SHORTEN + "A1"]


@pytest.mark.parametrize(
    ("told", "seen"), [("yes", "a kite"), ("YES!", "a kite"), ("no", "paper"), ("...", "paper"), ("well, yes", "paper")]
)
def test_an_indefinite_answer_is_replaced_by_the_description(told: str, seen: str) -> None:
    _, victim = run("A0", "A1", "A2", weak=weak_of("a kite", "paper"), secretary=secretary_of(told, "so"))
    assert victim.asked[1].chat.last_text == ADVISE.replace("{seen}", seen)


def test_long_texts_are_summed_up_before_they_are_told() -> None:
    secretary = secretary_of("short answer", "short description", "yes", "so")
    _, victim = run("A0", "A1", "A2", weak=weak_of(LONG, LONG), secretary=secretary)
    assert len(secretary.asked) == 4  # 3 k + 1 at most
    assert victim.asked[1].chat.last_text == ADVISE.replace("{seen}", "short answer")


@pytest.mark.parametrize(("crops", "count", "k", "strong"), [("random", 2, 2, 3), ("auto", 1, 3, 4)])
def test_the_calls_of_several_crops(crops: str, count: int, k: int, strong: int) -> None:
    weak, secretary = weak_of("a kite"), secretary_of("yes")
    reply, victim = run("A0", "[0, 0, 4, 4]", "A2", weak=weak, secretary=secretary, crops=crops, count=count)
    assert (reply.cost.queries, len(victim.asked), len(weak.asked), len(secretary.asked)) == (
        strong,
        strong,
        2 * k,
        k + 1,
    )
    assert f"{k}: a kite" in victim.asked[-1].chat.messages[-3].text


def test_the_victim_is_its_own_helper_where_none_is_named() -> None:
    reply, victim = run("A0", "a kite", "paper", "yes", "A1", "so", "A2")
    assert (reply.text, reply.cost.queries, reply.helpers) == ("A2", 7, {})
    assert {ask.settings for ask in victim.asked} == {Settings(9, draw=2)}


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_reply_of_the_victim_that_is_not_said_ends_it(place: int) -> None:
    script: list[str | Reply] = ["A0", "A1", "A2"]
    script[place] = Reply("no", "blocked")
    reply, victim = run(*script, weak=weak_of("a kite"), secretary=secretary_of("yes"))
    assert (reply.outcome, len(victim.asked)) == ("blocked", place + 1)


@pytest.mark.parametrize("place", range(7))
def test_a_victim_that_fails_as_its_own_helper_says_why_itself(place: int) -> None:
    script: list[str | Reply] = ["A0", "a kite", "paper", "yes", "A1", "so", "A2"]
    script[place] = Reply.error("608 tokens are more than 512", fault="length")
    reply, victim = run(*script)
    assert (reply.outcome, reply.fault, reply.reason) == ("error", "length", "608 tokens are more than 512")
    assert len(victim.asked) == reply.cost.queries == place + 1


HALF = Reply("a ki", "filtered", reason="down")


@pytest.mark.parametrize("who", ["weak", "secretary"])
@pytest.mark.parametrize("bad", [Reply.error("down"), Reply(outcome="filtered", reason="down"), HALF, "", " \n"])
def test_a_helper_that_says_nothing_or_half_is_an_error(who: str, bad: Reply | str) -> None:
    helpers = {"weak": weak_of("a kite"), "secretary": secretary_of("yes"), who: lines(bad, label=who)}
    reply, _ = run("A0", "A1", "A2", **helpers)
    assert reply.outcome == "error"
    assert f"helper {helpers[who].name}: " in reply.reason
    assert ("nothing said" if isinstance(bad, str) else "down") in reply.reason


def test_a_dialogue_without_pictures_is_passed_on() -> None:
    reply, victim = run("A0", chat=Chat.user("q"))
    assert (reply.text, [ask.chat for ask in victim.asked]) == ("A0", [Chat.user("q")])


def test_the_centre_is_the_middle_half() -> None:
    assert np.array_equal(centre(PICTURE).array(), PICTURE.array()[3:9, 2:6])
    assert centre(Image.from_array(np.zeros((1, 1, 3), np.uint8))).width == 1


@given(st.text(alphabet="[]0123456789, x", max_size=60))
def test_boxes_that_a_model_wrote_blacken_no_more_than_the_picture(text: str) -> None:
    found = without_boxes(PICTURE, text)
    assert (found.width, found.height) == (8, 12)
    assert bool(((found.array() == PICTURE.array()) | (found.array() == 0)).all())


def test_a_box_is_black_and_the_rest_as_it_was() -> None:
    found = without_boxes(PICTURE, "here: [2, 3, 6, 900]").array()
    assert not found[3:, 2:6].any()
    assert np.array_equal(found[:3], PICTURE.array()[:3])


def test_random_parts_are_the_same_for_the_same_ask() -> None:
    def parts(draw: int) -> list[str]:
        weak = weak_of("a kite")
        defense = DPS(weak=weak, secretary=secretary_of("yes"), crops="random", count=2)
        defense(lines("A")).reply([Ask(CHAT, Settings(9, draw=draw))])
        return [ask.chat.images[-1].sha256 for ask in weak.asked]

    first = parts(0)
    assert first == parts(0) != parts(1)
    assert len(set(first)) == 2


def test_a_plan_counts_all_its_calls_and_a_name_is_no_helper() -> None:
    from proofglass.studies.asks import of_defense

    counted = of_defense(DPS())
    assert (counted.victim, counted.helpers) == (3 + 2 + 4, 0)  # 3 k + 1 of the secretary, where all texts are long
    counted = of_defense(DPS(weak=weak_of(), crops="auto"))
    assert (counted.victim, counted.helpers) == (4 + 10, 6)
    with pytest.raises(ValueError, match="weak: expected a Victim or None, found 'llava'"):
        DPS(weak="llava")  # type: ignore[arg-type]
