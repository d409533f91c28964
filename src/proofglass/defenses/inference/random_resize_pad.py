"""Random resizing and padding (Xie et al. 2018): each picture is shown at a random size, at a random place.

Departures: the paper enlarges 299 pixels to 299 to 330 and pads to 331; here the same share of a picture is filled, but
it is shrunk and padded to the size that it had, for victims that take one size. The grey of the padding is a parameter
(black in the paper).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval

from proofglass.defenses.opened import Lens, Opened
from proofglass.flow import Flow
from proofglass.interfaces import Count, Defense, Paper, Share, WhiteBoxVictim
from proofglass.types import Ask, Reply

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class RandomResizePad(Defense):
    """Shrinks each picture to a random size and pads it at a random place to the size that it had; no call is added.

    The same ask is shown alike again; another draw of it otherwise. An attacker who looks through it averages sizes and
    places (expectation over transformation), each with its exact gradient.

    smallest: share of both sides that is left at least; 1: pictures pass as they are. fill: of the padding, 0 black to
    1 white. draws: how many sizes and places that attacker averages.
    """

    name = "random-resize-pad"
    paper = Paper("Xie et al. 2018", "Mitigating Adversarial Effects Through Randomization", "arXiv:1711.01991")
    adaptive: ClassVar[str] = "pgd, qi2023 through the lens (expectation over sizes and places)"
    needs_model: ClassVar[str] = ""

    smallest: Annotated[float, Interval(gt=0, le=1)] = 299 / 331
    fill: Share = 0.0
    draws: Count = 4

    @property
    def lens(self) -> Lens:
        return Lens() if self.smallest == 1 else Lens(pixels=self.resized, draws=self.draws)

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply: Reply = yield ask.on(self.lens.shown(ask.chat, self.key, ask.settings.draw))
        return reply

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, self.lens)

    def resized(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """float [1, 3, H, W], shrunk and padded to H x W."""
        import torch
        import torch.nn.functional as F

        size, down, across = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        share = self.smallest + (1 - self.smallest) * size
        height, width = (max(1, round(share * side)) for side in x.shape[-2:])
        above, left = x.shape[-2] - height, x.shape[-1] - width
        small = F.interpolate(x, size=(height, width), mode="bilinear", antialias=True)
        top, first = int(down * (above + 1)), int(across * (left + 1))
        return F.pad(small, (first, left - first, top, above - top), value=self.fill)
