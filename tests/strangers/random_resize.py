"""A defense as somebody else would write it: pictures at a random size and place (Xie et al. 2018)."""

from dataclasses import dataclass

from torch import Generator, Tensor, rand
from torch.nn.functional import interpolate, pad

from proofglass import Ask, Defense, Flow, Lens, Opened, Reply, WhiteBoxVictim


@dataclass(frozen=True)
class RandomResize(Defense):
    """Shrinks each picture to a random size and pads it with grey at a random place.

    smallest: share of the sides that is left at least. draws: how many an attacker averages who looks through it.
    """

    smallest: float = 0.75
    draws: int = 4

    name = "random-resize"

    @property
    def lens(self) -> Lens:
        return Lens(pixels=self.resized, draws=self.draws)

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply: Reply = yield ask.on(self.lens.shown(ask.chat, self.key, ask.settings.draw))
        return reply

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, self.lens)

    def resized(self, x: Tensor, generator: Generator) -> Tensor:
        share, top, left = rand(3, generator=generator).tolist()
        sides = [round((self.smallest + (1 - self.smallest) * share) * side) for side in x.shape[-2:]]
        (down, right) = (side - kept for side, kept in zip(x.shape[-2:], sides, strict=True))
        top, left = round(top * down), round(left * right)
        small = interpolate(x, size=sides, mode="bilinear", antialias=True)
        return pad(small, (left, right - left, top, down - top), value=0.5)
