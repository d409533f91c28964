"""Is there a gradient to follow? Looked at once, before the first step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from proofglass.errors import ZeroGradient

if TYPE_CHECKING:
    import torch

# A first gradient no longer than this, per square root of the number of values, is rounding noise or exactly zero.
ZERO_GRADIENT = 1e-12


def vanished(grad: torch.Tensor) -> torch.Tensor:
    """bool [B]: the gradients [B, 3, H, W] of these pictures are zero, or no longer than rounding noise."""
    return grad.flatten(1).norm(dim=1) <= ZERO_GRADIENT * math.sqrt(grad[0].numel())


def zero_shares(grad: torch.Tensor, finite: torch.Tensor, free: torch.Tensor | None) -> list[float]:
    """Share of exactly zero values among those that may move, per picture.

    grad: [B, 3, H, W], already zero where `free` is. finite: bool [B], which of them came out finite.
    Raises ZeroGradient if every picture's gradient vanished.
    """
    share = 1.0 if free is None else float(free.expand_as(grad[:1]).mean())
    if bool((vanished(grad) & finite).all()):
        raise ZeroGradient(
            f"the gradient is zero at the start (norm {float(grad.flatten(1).norm(dim=1).max()):.1e}): the objective "
            "does not depend on the picture there, so that a sign step would only amplify rounding noise. Start from a "
            "random point, or change the objective."
        )
    zeros = ((grad == 0).flatten(1).float().mean(1) - (1 - share)) / max(share, 1e-12)
    return [round(float(zero), 6) for zero in zeros]
