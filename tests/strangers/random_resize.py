"""A defense as somebody else would write it: pictures at a random size and place (Xie et al. 2018)."""

from dataclasses import dataclass

import torch

from proofglass import Defense, Lens, Opened


@dataclass(frozen=True)
class RandomResize(Defense):
    """Shrinks each picture to a random size and pads it with grey at a random place.

    smallest: share of the sides that is left at least. draws: how many an attacker averages who looks through it.
    """

    smallest: float = 0.75
    draws: int = 4

    name = "random-resize"

    @property
    def lens(self):
        return Lens(pixels=self.resized, draws=self.draws)

    def flow(self, ask):
        return (yield ask.on(self.lens.shown(ask.chat, self.key, ask.settings.draw)))

    def opened(self, model):
        return Opened(model, self, self.lens)

    def resized(self, x, generator):
        share, top, left = torch.rand(3, generator=generator).tolist()
        sides = [round((self.smallest + (1 - self.smallest) * share) * side) for side in x.shape[-2:]]
        small = torch.nn.functional.interpolate(x, size=sides, mode="bilinear", antialias=True)
        (down, right) = (side - kept for side, kept in zip(x.shape[-2:], sides, strict=True))
        top, left = round(top * down), round(left * right)
        return torch.nn.functional.pad(small, (left, right - left, top, down - top), value=0.5)
