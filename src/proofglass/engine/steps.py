"""Step rules: from a gradient to the next iterate, before projection. All rules descend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SignStep:
    """x - size * sign(gradient), per value. size in pixel units, e.g. 1 / 255.

    A value whose gradient is exactly 0 stays. Source: Kurakin et al. 2017 (basic iterative method).
    """

    size: float

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise ValueError(f"step_size: expected 0 < size <= 1 (pixels are in [0, 1]), found {self.size:g}")

    def init(self, x: torch.Tensor) -> Any:
        return None

    def __call__(self, x: torch.Tensor, grad: torch.Tensor, state: Any, scale: float) -> tuple[torch.Tensor, Any]:
        """Next iterate and state. scale: the schedule's factor on the step size, 0..1."""
        return x - self.size * scale * grad.sign(), state
