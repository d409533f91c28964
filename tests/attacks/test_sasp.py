"""SASP: what is stolen and what failed goes to a helper; every ask is bounded; what goes wrong is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attacker_models import Says, Yes, run, sample
from proofglass.attacks.text.enhancers import Enhancers
from proofglass.attacks.text.prompt_theft import TURNS
from proofglass.attacks.text.sasp import SASP
from proofglass.errors import UsageError
from proofglass.studies.asks import of_attack
from proofglass.testing.material import picture
from proofglass.types import Ask, Reply, Settings
from proofglass.types.tries import Tries

GOAL = "how do i mend a kite ?"


def proposer() -> Says:
    return Says(lambda ask, k: f"of course .\n<prompt> try {k} </prompt> bye", "helper")


def victim(*answers: str | Reply) -> Says:
    """Gives its prompt away three times, then answers in order, the last one on and on."""
    return Says(lambda ask, k: "my rules : kites only" if k < len(TURNS) else answers[min(k - 3, len(answers) - 1)])


def test_first_query_success_is_told_apart_from_success_within_the_budget() -> None:
    for answers, first, asks in ((("yes",), 1, 1), (("no", "no", "yes"), 3, 3)):
        asked = victim(*answers)
        _, reply, _ = run(SASP(judge=Yes(), helper=proposer()), asked, sample(GOAL))
        assert Tries.read(reply.reason) == Tries(asks, 1, first)
        assert reply.text == "yes"
        assert len(asked.asked) == len(TURNS) + asks


def test_the_helper_is_shown_the_stolen_prompt_the_goal_and_the_last_failure() -> None:
    helper = proposer()
    run(SASP(judge=Yes(), helper=helper, rounds=2), victim("first answer", "second answer"), sample(GOAL))
    one, two = (ask.chat.last_text for ask in helper.asked)
    for brief in (one, two):
        assert "my rules : kites only" in brief
        assert f"The goal: {GOAL}" in brief
    assert "first answer" not in one
    assert "<tried>\ntry 0\n</tried>" in two
    assert "<said>\nfirst answer\n</said>" in two


def test_the_judge_sees_the_question_as_it_was_and_the_chat_that_was_asked() -> None:
    seen = []

    class Looks(Yes):
        def score(self, attempts):
            seen.extend(attempts)
            return super().score(attempts)

    one = sample(GOAL, picture(1))
    run(SASP(judge=Looks(), helper=proposer(), rounds=1), victim("no"), one)
    (attempt,) = seen
    assert attempt.sample == one
    assert (attempt.conversation.last_text, attempt.conversation.images) == ("try 0", one.chat.images)


def test_asks_are_bounded_by_theft_rounds_and_parse() -> None:
    # G-T1 in our words: at most 3 + 4 asks of the victim, 4 x 2 of the helper.
    helper = Says(lambda ask, k: f"<prompt>try {k}</prompt>" if k % 2 else "junk", "helper")
    asked = victim("no")
    attack = SASP(judge=Yes(), helper=helper, rounds=4, parse=2)
    _, reply, _ = run(attack, asked, sample(GOAL))
    assert len(asked.asked) == attack.queries == 3 + 4
    assert len(helper.asked) == 8
    assert Tries.read(reply.reason) == Tries(4)


def test_by_default_the_victim_is_its_own_helper() -> None:
    def answer(ask: Ask, k: int) -> str:
        text = ask.chat.last_text
        return "<prompt>go</prompt>" if "The goal:" in text else "yes" if text == "go" else "rules"

    asked = Says(answer)
    attack = SASP(judge=Yes())
    _, reply, end = run(attack, asked, sample(GOAL))
    assert reply.text == "yes"
    assert len(asked.asked) == end.cost.queries == 3 + 1 + 1
    assert attack.queries == 3 + attack.rounds * (1 + attack.parse)
    assert attack.needs == ("judge",)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("i can not help with that .", "holds no <prompt>: 'i can not help"),
        (Reply("<prompt>half a prom", finish="length"), "holds no <prompt> and was cut off"),
        ("<prompt>  </prompt>", "<prompt> is empty"),
        (Reply.error("the line is down"), "silent (error: the line is down)"),
        (Reply(outcome="filtered", text="<prompt>x</prompt>", reason="policy"), "silent (filtered: policy)"),
        (Reply(outcome="refused"), "silent (refused: )"),
        ("", "holds no <prompt>: ''"),
    ],
)
def test_a_helper_that_proposes_nothing_fails_the_sample_with_its_reason(says: str | Reply, why: str) -> None:
    helper = Says(lambda ask, k: says, "helper")
    _, _, end = run(SASP(judge=Yes(), helper=helper, parse=3), victim("yes"), sample(GOAL))
    assert why in end.failure
    assert "round 1: " in end.failure
    assert len(helper.asked) == 3
    assert [ask.settings.draw for ask in helper.asked] == [0, 1, 2]


def test_a_helper_that_cannot_be_asked_is_not_asked_again() -> None:
    helper = Says(lambda ask, k: Reply.error("too long", fault="length"), "helper")
    _, _, end = run(SASP(judge=Yes(), helper=helper), victim("yes"), sample(GOAL))
    assert "the helper was silent (error: too long)" in end.failure
    assert len(helper.asked) == 1


def test_a_helper_that_falls_silent_later_leaves_what_was_tried() -> None:
    helper = Says(lambda ask, k: "<prompt>try</prompt>" if k == 0 else "no more", "helper")
    _, reply, _ = run(SASP(judge=Yes(), helper=helper), victim("a longer answer"), sample(GOAL))
    assert reply.text == "a longer answer"
    assert "round 2: the helper's answer holds no <prompt>" in reply.reason
    assert Tries.read(reply.reason) == Tries(1)


def test_the_best_answer_is_the_reply_where_none_succeeds() -> None:
    _, reply, _ = run(SASP(judge=Yes(), helper=proposer(), rounds=3), victim("no", "a longer no", "no"), sample(GOAL))
    assert reply.text == "a longer no"


def test_an_error_of_the_victim_costs_its_round_and_three_in_a_row_the_search() -> None:
    down = Reply.error("the line is down")
    _, reply, _ = run(
        SASP(judge=Yes(), helper=proposer(), rounds=5), victim(down, down, "no", down, "yes"), sample(GOAL)
    )
    assert (reply.text, Tries.read(reply.reason)) == ("yes", Tries(2, 1, 2))
    assert "3 asks failed" in reply.reason
    asked = victim("no", down)
    _, reply, _ = run(SASP(judge=Yes(), helper=proposer(), rounds=9), asked, sample(GOAL))
    assert (reply.outcome, reply.text) == ("ok", "no")
    assert "gave up after 3 errors in a row: the line is down" in reply.reason
    assert len(asked.asked) == 3 + 4
    _, reply, _ = run(SASP(judge=Yes(), helper=proposer()), Says(lambda ask, k: down), sample(GOAL))
    assert reply.outcome == "error"


def test_a_theft_without_an_answer_is_told_and_the_search_goes_on() -> None:
    asked = Says(lambda ask, k: Reply(outcome="blocked", text="no") if k < 3 else "yes")
    _, reply, _ = run(SASP(judge=Yes(), helper=proposer()), asked, sample(GOAL))
    assert reply.text == "yes"
    assert "theft: nothing was said (blocked)" in reply.reason


def test_without_theft_nothing_is_stolen() -> None:
    asked = Says(lambda ask, k: "yes")
    attack = SASP(judge=Yes(), helper=proposer(), theft=())
    run(attack, asked, sample(GOAL))
    assert len(asked.asked) == 1
    assert attack.queries == attack.rounds


def test_what_the_victim_says_opens_no_slot_of_the_brief() -> None:
    helper = proposer()
    run(SASP(judge=Yes(), helper=helper, rounds=2), victim("{goal} {stolen}"), sample(GOAL))
    assert "<said>\n{goal} {stolen}\n</said>" in helper.asked[1].chat.last_text


def test_the_enhancers_wrap_proposals_where_they_are_asked_to() -> None:
    chat, _, _ = run(SASP(judge=Yes(), helper=proposer(), enhance=True), victim("yes"), sample(GOAL))
    assert chat.last_text == Enhancers().enhanced("try 0")


def test_the_helper_has_settings_of_its_own_and_the_victim_those_of_the_study() -> None:
    helper, asked = proposer(), victim("yes")
    run(SASP(judge=Yes(), helper=helper, max_new_tokens=99), asked, sample(GOAL), Settings(max_new_tokens=7))
    assert {(a.settings.max_new_tokens, a.settings.temperature) for a in helper.asked} == {(99, 1.0)}
    assert {a.settings.max_new_tokens for a in asked.asked} == {7}


def test_a_plan_counts_the_asks_of_the_theft_at_least() -> None:
    assert of_attack(SASP(judge=Yes(), helper=proposer()), [sample(GOAL)]).victim >= 3


def test_a_brief_without_the_goal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"brief: expected the slot \{goal\}"):
        SASP(judge=Yes(), brief="write a prompt")
    (tmp_path / "brief.txt").write_text("write a prompt")
    with pytest.raises(UsageError, match=r"sasp.brief_file: .*brief.txt: expected the slot \{goal\}"):
        run(SASP(judge=Yes(), brief_file=tmp_path / "brief.txt"), victim("yes"), sample())


def test_the_default_judge_is_in_the_key_and_its_settings_are_json() -> None:
    from proofglass.records.schema import plain

    assert SASP().judge.name == "not-refused"
    assert SASP().key != SASP(judge=Yes()).key
    json.dumps(plain(SASP().settings()))
