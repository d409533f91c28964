"""The system prompt is asked for in several ways; what the answers confirm is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from attacker_models import Says, run, sample
from proofglass.attacks.text.prompt_theft import TURNS, PromptTheft
from proofglass.types import Chat, Reply, Sample, Settings

SECRET = "you are a careful guide and help with kites only"


def test_the_answer_that_the_others_confirm_is_kept() -> None:
    says = ["sorry , no .", f"sure : {SECRET}", SECRET]
    victim = Says(lambda ask, k: says[k])
    chat, reply, _ = run(PromptTheft(), victim, sample())
    assert reply.text in says[1:]
    assert chat.last_text in TURNS[1:]
    assert "theft of 3 asks, agreement 0." in reply.reason


def test_the_system_prompt_stays_and_the_question_is_replaced() -> None:
    victim = Says(lambda ask, k: SECRET)
    one = Sample("s1", "toy", Chat.user("how ?").with_system(SECRET))
    run(PromptTheft(), victim, one)
    assert [ask.chat.system for ask in victim.asked] == [SECRET] * 3
    assert [ask.chat.last_text for ask in victim.asked] == list(TURNS)


@pytest.mark.parametrize("silent", [Reply.error("down"), Reply(outcome="blocked", text="no"), Reply(" ")])
def test_answers_that_say_nothing_confirm_nothing(silent: Reply) -> None:
    victim = Says(lambda ask, k: silent if k != 1 else SECRET)
    _, reply, _ = run(PromptTheft(), victim, sample())
    assert reply.text == SECRET
    assert reply.reason.endswith("no two answers to compare")
    _, reply, _ = run(PromptTheft(), Says(lambda ask, k: silent), sample())
    assert reply.outcome == silent.outcome  # an error stays one


def test_repeats_draw_anew_and_take_a_temperature() -> None:
    victim = Says(lambda ask, k: SECRET)
    attack = PromptTheft(turns=("a ?", "b ?"), repeats=2)
    _, _, end = run(attack, victim, sample())
    assert "repeats 2 at temperature 0" in end.failure
    run(attack, victim, sample(), Settings(temperature=1.0, draw=5))
    assert [(ask.chat.last_text, ask.settings.draw) for ask in victim.asked] == [
        ("a ?", 5), ("a ?", 6), ("b ?", 5), ("b ?", 6),
    ]  # fmt: skip
    assert attack.queries == 4


def test_a_file_holds_turns_between_empty_lines(tmp_path: Path) -> None:
    (tmp_path / "turns.txt").write_text("one\nline two\n\n\ntwo ?\n")
    attack = PromptTheft(turns_file=tmp_path / "turns.txt")
    (artefact,) = attack.craft(Says(lambda ask, k: ""), [], seed=0)
    assert artefact.texts == ("one\nline two", "two ?")
    assert attack.queries == 2


def test_long_answers_are_compared_in_bounded_time() -> None:
    victim = Says(lambda ask, k: f"{k} " + "word " * 20_000)
    _, reply, _ = run(PromptTheft(), victim, sample())
    assert len(reply.text) > 90_000
