"""What every defense promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from proofglass.errors import UsageError
from proofglass.flow import drive
from proofglass.interfaces import (
    Defense,
    Victim,
    innermost,
    key_of,
)
from proofglass.testing.material import Counting, always_failing
from proofglass.types import (
    Ask,
    Reply,
)


def disabled_is_the_identity(disabled: Defense, ask: Ask) -> None:
    """One ask, the very one that came in; one reply, the very one that came back."""
    asked: list[Ask] = []
    reply = Reply("some words", decisions=())

    def answer(asks: Sequence[Ask]) -> list[Reply]:
        asked.extend(asks)
        return [reply] * len(asks)

    (end,) = drive([disabled.flow(ask)], answer)
    assert asked == [ask], "another ask, or more than one"
    assert end.value == reply, "another reply"


def never_changes_its_ask(defense: Defense, ask: Ask) -> None:
    """The ask that came in is untouched, and every inner ask of the victim decodes by the same settings, but for its
    draw, unless the defense says that it `decodes`."""
    before = key_of(ask)
    asked: list[Ask] = []

    def answer(asks: Sequence[Ask]) -> list[Reply]:
        asked.extend(asks)
        return [Reply("yes , some words") for _ in asks]

    (end,) = drive([defense.flow(ask)], answer)
    assert end.value is not None, end.failure
    assert key_of(ask) == before, "the ask was changed"
    alike = (replace(a.settings, draw=ask.settings.draw) == ask.settings for a in asked)
    assert defense.decodes or all(alike), "settings of its own"


def passes_errors_on(defense: Defense, ask: Ask) -> None:
    """If asking fails, first or later, the outcome is an error: never an answer, never "blocked" (that is safe)."""
    for failing_from in range(4):
        count = 0

        def answer(asks: Sequence[Ask], failing_from: int = failing_from) -> list[Reply]:
            nonlocal count
            count += 1
            return always_failing(asks) if count > failing_from else [Reply("no idea") for _ in asks]

        (end,) = drive([defense.flow(ask)], answer)
        if count > failing_from:
            assert end.value is None or end.value.outcome == "error", f"ask {failing_from + 1} failed silently"


def wraps_a_victim(defense: Defense, victim: Victim, asks: Sequence[Ask]) -> None:
    """A defended victim is a victim: own key, replies in order, every inner query counted, the model inside found."""
    counted = Counting(victim)
    defended = defense(counted)
    assert isinstance(defended, Victim)
    assert defended.key != counted.key, "the stack is not in the key"
    assert innermost(defended) is counted
    replies = defended.reply(asks)
    assert len(replies) == len(asks)
    assert sum(reply.cost.queries for reply in replies) == counted.asked[0], "queries are missing from the cost"
    alone = [defense(victim).reply([ask])[0].text for ask in asks]
    assert [reply.text for reply in replies] == alone, "replies out of order"


def acts_inside(defense: Defense, model: Victim, asks: Sequence[Ask]) -> None:
    """What acts inside a model is a victim too: own key, replies in order, the model found (or, of a defense that needs
    its weights, another one in its place); and a model that gives replies only is refused in words, before it is
    asked."""
    defended = defense(model)
    assert isinstance(defended, Victim)
    assert defended.key != model.key, "what it does inside is not in the key"
    assert (innermost(defended) is model) != (defense.needs_model == "weights"), "another model inside, or none"
    replies = defended.reply(asks)
    assert len(replies) == len(asks)
    alone = [defense(model).reply([ask])[0].text for ask in asks]
    assert [reply.text for reply in replies] == alone, "replies out of order"
    closed = Counting(model)
    said = ""
    try:
        defense(closed)
    except UsageError as error:
        said = str(error)
    assert defense.name in said, "a model that gives replies only was taken, or the error does not name the defense"
    assert closed.asked == [0]
