"""PrivQA's text attacks: a persona in front, two hops in turns or merged."""

from __future__ import annotations

from pathlib import Path

import pytest

from attacker_models import Says, run, sample
from evaluation.datasets.makers_first import MAKERS
from proofglass.attacks.text.chen2023b import PersonaPrefix, TwoHop
from proofglass.registry import build
from proofglass.studies.asks import of_attack
from proofglass.testing.material import Scripted, picture
from proofglass.types import Cost, Reply


def test_the_persona_stands_in_front_and_takes_one_ask() -> None:
    victim = Says(lambda ask, k: "ok")
    chat, _, _ = run(PersonaPrefix(persona="You are Ora."), victim, sample("who is it ?", picture(1)))
    assert chat.last_text == "You are Ora.\nwho is it ?"
    assert chat.images == (picture(1),)
    assert len(victim.asked) == 1


def test_a_persona_with_a_slot_takes_the_question_there() -> None:
    chat, _, _ = run(PersonaPrefix(persona="Ora hears {question} and answers."), Scripted(), sample("who ?"))
    assert chat.last_text == "Ora hears who ? and answers."


def test_two_hops_in_turns_are_two_asks_and_the_first_answer_stands_in_the_second() -> None:
    victim = Says(lambda ask, k: ["  the mill ", "it is red"][k])
    attack = TwoHop(first="What is {question} about?", second="Of {answer_1}: {relation_2}?")
    one = sample("what colour is the mill ?", meta={"relation_2": "its colour"})
    chat, reply, end = run(attack, victim, one)
    assert [ask.chat.last_text for ask in victim.asked] == [
        "What is what colour is the mill ? about?",
        "Of the mill: its colour?",
    ]
    assert chat.messages[1].text == "  the mill "  # what was said stands in the dialogue as it was said
    assert (reply.text, end.cost.queries) == ("it is red", 2)


def test_merged_is_one_ask() -> None:
    victim = Says(lambda ask, k: "ok")
    run(TwoHop(hops="merged"), victim, sample())
    assert len(victim.asked) == 1


@pytest.mark.parametrize(("hops", "asks"), [("turns", 2), ("merged", 1)])
def test_a_plan_counts_its_asks(hops: str, asks: int) -> None:
    attack = build("attacks", "chen2023b-two-hop", hops=hops)
    assert attack.queries == asks == of_attack(attack, [sample()]).victim


@pytest.mark.parametrize(
    "first",
    [Reply.error("the line is down"), Reply(outcome="blocked", text="no", reason="gate"), Reply(outcome="refused")],
)
def test_a_first_hop_without_an_answer_ends_the_dialogue_as_what_it_is(first: Reply) -> None:
    victim = Says(lambda ask, k: first)
    _, reply, _ = run(TwoHop(), victim, sample())
    assert (reply.outcome, len(victim.asked)) == (first.outcome, 1)


def test_an_answer_with_braces_opens_no_slot() -> None:
    victim = Says(lambda ask, k: "{question} {relation_9}")
    chat, _, end = run(TwoHop(second="{answer_1}"), victim, sample("why ?"))
    assert not end.failure
    assert chat.last_text == "{question} {relation_9}"


def test_a_slot_that_the_sample_cannot_fill_costs_that_sample() -> None:
    _, _, end = run(TwoHop(first="{relation_1}?"), Scripted(), sample())
    assert "slot {relation_1}: found nothing in sample.meta" in end.failure


@pytest.mark.parametrize("name", ["chen2023b-prefix", "chen2023b-two-hop"])
def test_on_privqa_the_instruction_to_protect_stays(name: str, tmp_path: Path) -> None:
    data = build("datasets", "privqa", **MAKERS["privqa"](tmp_path))
    for one in list(data):
        victim = Says(lambda ask, k: Reply("a name", cost=Cost(queries=1)))
        chat, _, end = run(build("attacks", name), victim, one)
        assert not end.failure
        assert chat.system == one.chat.system != ""
        assert chat.images == one.chat.images
        assert one.chat.last_text in victim.asked[0].chat.last_text


def test_a_file_takes_the_authors_words(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("First: {question}")
    (tmp_path / "two.txt").write_text("Then: {answer_1}")
    attack = TwoHop(first_file=tmp_path / "one.txt", second_file=tmp_path / "two.txt")
    chat, _, _ = run(attack, Says(lambda ask, k: "x"), sample("why ?"))
    assert [m.text for m in chat.messages] == ["First: why ?", "x", "Then: x"]
