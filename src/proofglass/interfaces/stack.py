"""Several defenses as one: `system-prompt + self-moderation`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proofglass.flow import Flow
from proofglass.interfaces.datasets import Dataset
from proofglass.interfaces.defenses import Defense
from proofglass.interfaces.plugs import key_of
from proofglass.interfaces.victims import Victim
from proofglass.interfaces.white_box import WhiteBoxVictim
from proofglass.types import Ask, Reply


@dataclass(frozen=True)
class Stack(Defense):
    """Defenses around each other, the outermost first: an ask meets the first member first, and a member that asks
    again passes all that stand behind it. It is open if every member is.

    members: the defenses, in the order in which an ask meets them; none: the identity.
    """

    members: tuple[Defense, ...] = ()

    name = "stack"

    def __call__(self, victim: Victim) -> Victim:
        for member in reversed(self.members):
            victim = member(victim)
        return victim

    def flow(self, ask: Ask) -> Flow[Reply]:
        """The dialogue of the whole stack, as the defended victim leads it."""
        reply = yield from _through(self.members, ask)
        return reply

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim | None:
        seen: WhiteBoxVictim | None = model
        for member in reversed(self.members):
            seen = member.opened(seen) if seen is not None else None
        return seen

    @property
    def fits_on(self) -> tuple[Dataset, ...]:
        return tuple(dataset for member in self.members for dataset in member.fits_on)

    def fitted(self, model: Victim, folder: Path) -> Defense:
        return fitted_in(self, model, folder)


def fitted_in(defense: Defense, model: Victim, root: Path) -> Defense:
    """`defense` with all that it learns about `model`: the innermost member first, each on what stands inside it, in a
    folder of `root` that is named after both. So stacks that share their inner members share what these have learned.
    """
    members = defense.members if isinstance(defense, Stack) else (defense,)
    ready: list[Defense] = []
    for place in reversed(range(len(members))):
        member = members[place]
        if member.fits_on:
            member = member.fitted(model, root / key_of(["fit", member.key, model.key]))
        ready.insert(0, member)
        if any(outer.fits_on for outer in members[:place]):
            model = member(model)
    return Stack(tuple(ready)) if isinstance(defense, Stack) else ready[0]


def _through(members: Sequence[Defense], ask: Ask) -> Flow[Reply]:
    """The dialogue of the first of `members`, each ask of which passes the others; what it asks a helper does not."""
    if not members:
        reply: Reply = yield ask
        return reply
    outer, inner = members[0].flow(ask), members[1:]
    answer: Reply | list[Reply] | None = None
    while True:
        try:
            asked = outer.send(answer)
        except StopIteration as end:
            said: Reply = end.value
            return said
        if isinstance(asked, list):
            answers = []
            for one in asked:
                answers.append((yield from _passed(inner, one)))
            answer = answers
        else:
            answer = yield from _passed(inner, asked)


def _passed(members: Sequence[Defense], ask: Ask) -> Flow[Reply]:
    if ask.to is None:
        return (yield from _through(members, ask))
    reply: Reply = yield ask
    return reply
