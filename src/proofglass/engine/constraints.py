"""Where an attacked picture may lie. Pixels are float32 [B, 3, H, W] in [0, 1], before normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Start = Literal["clean", "uniform"]


def check_epsilon(epsilon: float) -> None:
    """Raise ValueError unless 0 < epsilon <= 1; offer the likely reading of a grey-level number."""
    if not 0 < epsilon <= 1:
        hint = f"; write {epsilon:g}/255?" if 1 < epsilon <= 255 else ""
        raise ValueError(f"epsilon: expected 0 < epsilon <= 1 (pixels are in [0, 1]), found {epsilon:g}{hint}")


@dataclass(frozen=True)
class LInf:
    """At most `epsilon` from the clean picture in every value, and inside [0, 1].

    start: "uniform" begins at a random point of the ball, "clean" at the picture itself.
    Source: Madry et al. 2018, section 2.1; the clamp to [0, 1] is what a picture can hold.
    """

    epsilon: float
    start: Start = "uniform"

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)

    def begin(self, x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """First iterate. noise: uniform in [0, 1), the shape of x0."""
        return x0.clone() if self.start == "clean" else self.project(x0 + (2 * noise - 1) * self.epsilon, x0)

    def project(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        """Nearest point to `x` in the ball around `x0` and the box. Raises ValueError if the shapes differ."""
        if x.shape != x0.shape:
            raise ValueError(f"x: expected the shape of x0 {list(x0.shape)}, found {list(x.shape)}")
        return x.clamp(x0 - self.epsilon, x0 + self.epsilon).clamp(0, 1)


@dataclass(frozen=True)
class Box:
    """Any picture: values inside [0, 1]. start: "uniform" begins at noise, "clean" at the picture given."""

    start: Start = "uniform"

    def begin(self, x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return x0.clone() if self.start == "clean" else noise.clone()

    def project(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        if x.shape != x0.shape:
            raise ValueError(f"x: expected the shape of x0 {list(x0.shape)}, found {list(x.shape)}")
        return x.clamp(0, 1)
