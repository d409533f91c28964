"""What an optimisation found, picture by picture, and its rounding to 8 bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proofglass.types import Cost, Image

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass
class Found:
    """What `minimise` returns, picture by picture.

    x: float32 [B, 3, H, W], not yet rounded. loss: float [B], the objective at x; rounded_loss: at its 8-bit picture.
    (Of a sampled objective: the whole one. These two looks are our bookkeeping and no cost of the attack.)
    losses[b]: at each iterate of the run that counts, the start included (of a sampled objective: of that step's
    draw). costs[b], steps[b]: spent on picture b. succeeded[b]: by the check,
    None without one. stopped[b]: why it ended before its schedule. nonfinite[b]: steps with a non-finite gradient.
    zeros[b]: share of exactly zero values in the first gradient.
    """

    x: torch.Tensor
    loss: torch.Tensor
    rounded_loss: torch.Tensor
    losses: list[list[float]]
    costs: list[Cost]
    steps: list[int]
    succeeded: list[bool | None]
    stopped: list[str]
    nonfinite: list[int]
    zeros: list[float]
    seconds: float

    def images(self) -> list[Image]:
        """The pictures found, 8-bit: what is saved and judged."""
        return quantise(self.x)

    @property
    def cost(self) -> Cost:
        """What the whole batch cost."""
        return sum(self.costs, Cost(seconds=self.seconds))

    def trace(self, b: int = 0) -> dict[str, Any]:
        """JSON-able summary of picture b, for an `Artefact`."""
        return {
            "loss": [round(value, 6) for value in self.losses[b]],
            "loss_before_rounding": float(self.loss[b]),
            "loss_after_rounding": float(self.rounded_loss[b]),
            "steps": self.steps[b],
            "nonfinite_steps": self.nonfinite[b],
            "zero_gradient_share": self.zeros[b],
            "succeeded": self.succeeded[b],
            "stopped": self.stopped[b],
        }


def quantise(x: torch.Tensor) -> list[Image]:
    """8-bit pictures of `x`, float [B, 3, H, W] in [0, 1]: floor(255 x + 0.5), clipped.

    Rounds half up: truncation would leave the epsilon ball by one grey level. An epsilon between two levels, such as
    0.05, may be passed by up to half a level all the same.
    """
    return [Image.from_array(picture.transpose(1, 2, 0)) for picture in _levels(x)]


def in_levels(x: torch.Tensor) -> torch.Tensor:
    """`x` as its 8-bit pictures hold it: float32 in [0, 1], what reading them back gives."""
    import torch

    return (torch.from_numpy(_levels(x)).float() / 255).to(x.device)


def _levels(x: torch.Tensor) -> np.ndarray:
    import numpy as np

    # float64: 255 x + 0.5 in float32 rounds some values just below one half up to the next level.
    return np.floor(x.detach().cpu().double().numpy() * 255 + 0.5).clip(0, 255).astype(np.uint8)
