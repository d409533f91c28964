"""What an optimisation found, picture by picture, and its rounding to 8 bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proofglass.engine.rounding import nearest
from proofglass.types import Cost, Image

if TYPE_CHECKING:
    import torch


@dataclass
class Found:
    """What `minimise` returns, picture by picture.

    x: float32 [B, 3, H, W], not yet rounded; levels: uint8 of the same shape, its 8-bit picture, which lies in the set
    around the 8-bit clean one. loss: float [B], the objective at x; rounded_loss: at its 8-bit picture.
    (Of a sampled objective: the whole one. These two looks are our bookkeeping and no cost of the attack.)
    linf_levels[b], l2[b]: distance of the 8-bit picture from the 8-bit clean one, in grey levels and as Euclidean norm
    in [0, 1] units.
    losses[b]: at each iterate of the run that counts, the start included (of a sampled objective: of that step's
    draw). plain_from[b]: number of the first of them that is the whole objective's, and no longer a draw's, with which
    it cannot be compared: 0 unless the objective is sampled, len(losses[b]) where none is. costs[b], steps[b]: spent on
    picture b. succeeded[b]: by the check, None without one. stopped[b]: why it ended before its schedule.
    nonfinite[b]: steps with a non-finite gradient. zeros[b]: share of exactly zero values in the first gradient.
    """

    x: torch.Tensor
    levels: torch.Tensor
    loss: torch.Tensor
    rounded_loss: torch.Tensor
    linf_levels: list[int]
    l2: list[float]
    losses: list[list[float]]
    plain_from: list[int]
    costs: list[Cost]
    steps: list[int]
    succeeded: list[bool | None]
    stopped: list[str]
    nonfinite: list[int]
    zeros: list[float]
    seconds: float

    def images(self) -> list[Image]:
        """The pictures found, 8-bit: what is saved and judged."""
        return as_images(self.levels)

    @property
    def cost(self) -> Cost:
        """What the whole batch cost."""
        return sum(self.costs, Cost(seconds=self.seconds))

    def trace(self, b: int = 0) -> dict[str, Any]:
        """JSON-able summary of picture b, for an `Artefact`. "loss_plain_from", as `plain_from`, stands there if some
        of "loss" are draws of a sampled objective."""
        told: dict[str, Any] = {
            "loss": [round(value, 6) for value in self.losses[b]],
            "loss_before_rounding": float(self.loss[b]),
            "loss_after_rounding": float(self.rounded_loss[b]),
            "linf_levels": self.linf_levels[b],
            "l2": self.l2[b],
            "steps": self.steps[b],
            "nonfinite_steps": self.nonfinite[b],
            "zero_gradient_share": self.zeros[b],
            "succeeded": self.succeeded[b],
            "stopped": self.stopped[b],
        }
        return told | ({"loss_plain_from": self.plain_from[b]} if self.plain_from[b] else {})


def quantise(x: torch.Tensor) -> list[Image]:
    """8-bit pictures of `x`, float [B, 3, H, W] in [0, 1]: floor(255 x + 0.5), clipped.

    Knows no ball: an epsilon between two levels may be passed by half a level. What `minimise` finds is rounded inside
    its constraint (`Found.images`).
    """
    return as_images(nearest(x).byte())


def as_images(levels: torch.Tensor) -> list[Image]:
    """Pictures of grey levels, uint8 [B, 3, H, W]."""
    return [Image.from_array(picture.permute(1, 2, 0).numpy()) for picture in levels]


def in_levels(levels: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What reading the 8-bit pictures back gives: float32 in [0, 1], on the device of `like`."""
    return (levels.float() / 255).to(like.device)


def distances(levels: torch.Tensor, clean: torch.Tensor) -> tuple[list[int], list[float]]:
    """Largest difference in grey levels, and Euclidean norm in [0, 1] units, of each picture; uint8 [B, 3, H, W]."""
    moved = (levels.double() - clean.double()).flatten(1)
    return [int(most) for most in moved.abs().amax(1)], [float(norm) / 255 for norm in moved.norm(dim=1)]
