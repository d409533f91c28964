"""A defense that hides its gradient, planted: random sizes, few grey levels. As strong as it looks to who is fooled."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from proofglass import Ask, Defense, Flow, Lens, Opened, Reply, WhiteBoxVictim
from strangers.random_resize import RandomResize


@dataclass(frozen=True)
class Masking(Defense):
    """Shrinks each picture to a random size, pads it at a random place, and rounds it to a few levels.

    Rounding has a gradient of zero, so that whoever differentiates the defense as it is written finds nothing to climb.
    levels: of each colour. smallest: share of the sides that is left at least. draws: how many an attacker averages.
    knows: whether the attacker who looks through takes the gradient of rounding for one (straight-through).
    """

    levels: int = 6
    smallest: float = 0.9
    draws: int = 2
    knows: bool = True

    name = "masking"
    not_in_key = ()

    @property
    def lens(self) -> Lens:
        return Lens(pixels=self.rounded, draws=self.draws)

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply: Reply = yield ask.on(self.lens.shown(ask.chat, self.key, ask.settings.draw))
        return reply

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, self.lens)

    def rounded(self, x: Tensor, generator: Generator) -> Tensor:
        small = RandomResize(self.smallest).resized(x, generator)
        steps = self.levels - 1
        found = (small * steps).round() / steps
        return small + (found - small).detach() if self.knows else found
