"""Bit-depth reduction (Xu et al. 2018, "feature squeezing"; Guo et al. 2018): few grey levels are left of each colour.

Departures: Xu et al. compare the answers before and after to detect an attack; here, as in Guo et al., the reduced
picture is what the victim answers on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval

from proofglass.defenses.opened import Lens, Opened
from proofglass.flow import Flow
from proofglass.interfaces import Defense, Paper, WhiteBoxVictim
from proofglass.types import Ask, Reply

if TYPE_CHECKING:
    import torch

ALL = 8  # bits of a colour of an 8-bit picture


@dataclass(frozen=True)
class BitDepth(Defense):
    """Rounds every colour of each picture to 2^bits levels, evenly from 0 to 1; no call is added.

    An attacker who looks through it sees the rounded picture; rounding has no gradient, so that of the result is taken
    for that of the picture (straight-through).

    bits: of each colour, 3 as Guo et al. use; 8: pictures pass as they are.
    """

    name = "bit-depth"
    paper = Paper(
        "Xu et al. 2018",
        "Feature Squeezing: Detecting Adversarial Examples in Deep Neural Networks",
        "arXiv:1704.01155",
    )
    adaptive: ClassVar[str] = "pgd, qi2023 through the lens (straight-through)"
    needs_model: ClassVar[str] = ""

    bits: Annotated[int, Interval(ge=1, le=ALL)] = 3

    @property
    def lens(self) -> Lens:
        return Lens() if self.bits == ALL else Lens(pixels=self.reduced, straight_through=True)

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply: Reply = yield ask.on(self.lens.shown(ask.chat))
        return reply

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, self.lens)

    def reduced(self, x: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        """float [1, 3, H, W] with 2^bits levels of each colour; no gradient."""
        steps: float = 2**self.bits - 1
        return (x.detach() * steps).round() / steps
