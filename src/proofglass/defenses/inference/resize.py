"""Resizing as a defense (the rescaling of Guo et al. 2018): each picture is shrunk, and enlarged to its size again.

Departures: the paper rescales random crops (`random-crop` here); this is the rescaling alone. Filters are those of
Pillow, with one rounding to 8 bit at the end, where Pillow rounds after each of its four passes: at most two grey
levels apart, so that replies and gradients are of one and the same function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Interval

from proofglass.defenses.opened import Lens, Opened
from proofglass.flow import Flow
from proofglass.images.resize import BICUBIC, BILINEAR, BOX, LANCZOS, resize
from proofglass.interfaces import Defense, Paper, WhiteBoxVictim
from proofglass.types import Ask, Reply

if TYPE_CHECKING:
    import torch

FILTERS = {"bilinear": BILINEAR, "bicubic": BICUBIC, "lanczos": LANCZOS, "box": BOX}


@dataclass(frozen=True)
class Resize(Defense):
    """Shrinks each picture and enlarges it again before the victim sees it; no call is added.

    An attacker who looks through it gets the exact gradient of both steps; what a reply is shown differs from that by
    the last rounding to 8 bit, half a grey level at most.

    factor: of both sides, rounded to pixels, one at least; 1: pictures pass as they are. resample: Pillow's filter.
    """

    name = "resize"
    paper = Paper("Guo et al. 2018", "Countering Adversarial Images using Input Transformations", "arXiv:1711.00117")
    adaptive: ClassVar[str] = "pgd, qi2023 through the lens"
    needs_model: ClassVar[str] = ""

    factor: Annotated[float, Interval(gt=0, le=1)] = 0.5
    resample: Literal["bilinear", "bicubic", "lanczos", "box"] = "bilinear"

    @property
    def lens(self) -> Lens:
        return Lens() if self.factor == 1 else Lens(pixels=self.resized)

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply: Reply = yield ask.on(self.lens.shown(ask.chat))
        return reply

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, self.lens)

    def resized(self, x: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        """float [1, 3, H, W], shrunk and enlarged."""
        height, width = x.shape[-2:]
        small = (max(1, round(self.factor * height)), max(1, round(self.factor * width)))
        resample = FILTERS[self.resample]
        return resize(resize(x, small, resample, rounded=False), (height, width), resample, rounded=False)
