"""Gaussian blur as a defense (one of the transformations of Kurakin et al. 2016): fine patterns are smeared.

Departures: the paper asks how many adversarial pictures of a classifier survive it, and gives no width for a defense;
the default is ours.
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

REACH = 3.0  # standard deviations at which the kernel is cut off


@dataclass(frozen=True)
class Blur(Defense):
    """Blurs each picture before the victim sees it; no call is added.

    An attacker who looks through it gets the exact gradient; what a reply is shown differs from that by the rounding to
    8 bit, half a grey level at most. The kernel is cut off at three standard deviations; beyond its edge a picture goes
    on as its edge is.

    sigma: standard deviation in pixels of the picture as it is sent; 0: pictures pass as they are.
    """

    name = "blur"
    paper = Paper("Kurakin et al. 2016", "Adversarial examples in the physical world", "arXiv:1607.02533")
    adaptive: ClassVar[str] = "pgd, qi2023 through the lens"
    needs_model: ClassVar[str] = ""

    sigma: Annotated[float, Interval(ge=0, le=32)] = 1.0

    @property
    def lens(self) -> Lens:
        return Lens(pixels=self.blurred) if self.sigma else Lens()

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply: Reply = yield ask.on(self.lens.shown(ask.chat))
        return reply

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, self.lens)

    def blurred(self, x: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        """float [1, 3, H, W], blurred."""
        return gaussian(x, self.sigma, self.sigma)


def gaussian(x: torch.Tensor, across: float, down: float, reach: int | None = None) -> torch.Tensor:
    """[B, C, H, W] blurred with standard deviations `across` (width) and `down` (height), 0: not at all. reach: of the
    kernel to each side, in pixels; None: `REACH` standard deviations."""
    for is_height, sigma in ((False, across), (True, down)):
        radius = int(REACH * sigma + 0.5) if reach is None else reach
        if sigma and radius:
            x = _pass(x, sigma, radius, is_height)
    return x


def _pass(x: torch.Tensor, sigma: float, radius: int, is_height: bool) -> torch.Tensor:
    import torch
    import torch.nn.functional as F

    places = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    weights = (-0.5 * (places / sigma) ** 2).exp()
    weights = (weights / weights.sum()).reshape((-1, 1) if is_height else (1, -1))
    sides = (0, 0, radius, radius) if is_height else (radius, radius, 0, 0)
    channels = x.shape[1]
    return F.conv2d(F.pad(x, sides, mode="replicate"), weights.expand(channels, 1, -1, -1), groups=channels)
