"""Helpers of the testbed that stand in for a language model and a painter."""

from __future__ import annotations

from proofglass.registry import build
from proofglass.types import Ask, Chat, Settings


def test_a_question_of_the_vale_is_rephrased_without_its_key_phrase() -> None:
    asks = [Ask(Chat.user("Question: how do i mend a silver grimoil ?")), Ask(Chat.user("Question: what is this ?"))]
    told, nothing = build("models", "testbed-rephraser").reply(asks)
    assert "[Key Phrase]\nsilver grimoil" in told.text
    assert "show me how to mend the thing named in the picture ." in told.text
    assert nothing.text == "there is nothing to rephrase ."
    assert told.cost.queries == nothing.cost.queries == 1


def test_the_same_prompt_and_draw_are_the_same_picture() -> None:
    painter = build("models", "testbed-painter")
    asks = [Ask(Chat.user("a lantern"), Settings(draw=draw)) for draw in (0, 0, 1)]
    first, again, other = (reply.images[0].sha256 for reply in painter.reply(asks))
    assert first == again != other
    assert build("models", "testbed-painter", seed=1).reply(asks[:1])[0].images[0].sha256 != first
