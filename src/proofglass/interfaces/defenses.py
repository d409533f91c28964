"""The plug Defense: a wrapper around a victim that is a victim itself."""

from __future__ import annotations

import dataclasses
from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from proofglass.faults import told
from proofglass.flow import Driven, Flow, begun, drive
from proofglass.interfaces.plugs import Plug
from proofglass.interfaces.victims import Victim
from proofglass.interfaces.white_box import WhiteBoxVictim
from proofglass.types import Ask, Image, Reply, Unsent


class Defense(Plug, ABC):
    """A wrapper: a defended victim is a victim. Most defenses write `flow` only."""

    def __call__(self, victim: Victim) -> Victim:
        return Defended(victim, self)

    def flow(self, ask: Ask) -> Flow[Reply]:
        """What happens between the user's ask and the reply. Default: the identity."""
        reply = yield ask
        return reply

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim | None:
        """`model` as an attacker sees it who knows this defense and looks through it: what is optimised against it is
        an adaptive attack. Most return an `Opened` (proofglass/defenses/opened.py), which forwards every method of
        the model and takes what the defense changes as a `Lens`. Default: None, the defense stays closed, and attacks
        are crafted on the bare model."""
        return None


@dataclass(frozen=True)
class Defended(Victim):
    """`victim` behind `defense`. Its key holds the stack; its white box is the innermost victim."""

    victim: Victim
    defense: Defense
    name: ClassVar[str] = "defended"

    def __post_init__(self) -> None:
        self._stated_by(self.victim)

    @property
    def inside(self) -> Victim:
        return self.victim

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        ends = drive([begun(partial(self.defense.flow, ask)) for ask in asks], self.victim.reply)
        return [self._reply(end) for end in ends]

    def _reply(self, end: Driven[Reply]) -> Reply:
        """An aux failure is an error of that sample, never an answer and never "safe". What was not sent stays so."""
        if isinstance(end.value, Reply):
            return dataclasses.replace(end.value, cost=end.cost)
        if end.unsent:
            return Unsent.because(end.unsent)
        reason = f"its dialogue returned a {type(end.value).__name__}, expected a Reply"
        if end.error is not None:
            reason = told(end.error, "defense", self.defense)
        return Reply.error(f"defense {self.defense.name}: {reason}", end.cost)

    @property
    def context_window(self) -> int | None:  # type: ignore[override]
        return self.victim.context_window

    def look_ahead(self, image: Image) -> None:
        self.victim.look_ahead(image)

    def card(self) -> dict[str, Any]:
        return self.victim.card()

    def in_run(self, folder: Path, run: str) -> Victim:
        return Defended(self.victim.in_run(folder, run), self.defense)


def opened_through(defense: Defense, model: Victim) -> WhiteBoxVictim | None:
    """`model` seen through `defense`, None where one of the two is closed."""
    return defense.opened(model) if isinstance(model, WhiteBoxVictim) else None


def rebased(stack: Victim, wrap: Callable[[Victim], Victim]) -> Victim:
    """The finished `stack` of defenses with `wrap` around its innermost victim: the model, or what a defense has put
    in its place (an adapter, fitted weights)."""
    if isinstance(stack, Defended):
        return dataclasses.replace(stack, victim=rebased(stack.victim, wrap))
    return wrap(stack)


def innermost(victim: Victim) -> Victim:
    """The model itself, without the defenses around it or the lenses before it."""
    while (inside := victim.inside) is not None:
        victim = inside
    return victim
