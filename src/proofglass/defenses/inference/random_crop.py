"""Random cropping and rescaling (Guo et al. 2018): the victim sees a random part of each picture, at full size.

Departures: the paper averages a classifier's answers over 30 crops of 90 of 224 pixels; replies have no average, so
each reply is of one crop, and the default keeps far more of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval

from proofglass.defenses.opened import Lens, Opened
from proofglass.flow import Flow
from proofglass.interfaces import Count, Defense, Paper, WhiteBoxVictim
from proofglass.types import Ask, Reply

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class RandomCrop(Defense):
    """Cuts out a part of each picture at a random place and enlarges it to the picture's size; no call is added.

    The same ask is cropped alike again; another draw of it is cropped elsewhere. An attacker who looks through it
    averages crops (expectation over transformation), each with its exact gradient.

    share: of both sides that is kept; 1: pictures pass as they are. draws: how many crops that attacker averages.
    """

    name = "random-crop"
    paper = Paper("Guo et al. 2018", "Countering Adversarial Images using Input Transformations", "arXiv:1711.00117")
    adaptive: ClassVar[str] = "pgd, qi2023 through the lens (expectation over crops)"
    needs_model: ClassVar[str] = ""

    share: Annotated[float, Interval(gt=0, le=1)] = 0.9
    draws: Count = 4

    @property
    def lens(self) -> Lens:
        return Lens() if self.share == 1 else Lens(pixels=self.cropped, draws=self.draws)

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply: Reply = yield ask.on(self.lens.shown(ask.chat, self.key, ask.settings.draw))
        return reply

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, self.lens)

    def cropped(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A part of float [1, 3, H, W], enlarged to H x W."""
        import torch

        sides = x.shape[-2:]
        height, width = (max(1, round(self.share * side)) for side in sides)
        down, across = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        top, left = int(down * (sides[0] - height + 1)), int(across * (sides[1] - width + 1))
        part = x[..., top : top + height, left : left + width]
        return torch.nn.functional.interpolate(part, size=sides, mode="bilinear", antialias=True)
