"""How a descent passes gates: what a gate adds to the loss, and which way it asks for.

A gate that weighs as its margin does costs an attack its target wherever the gate is out of reach of the pixels, and
that attack is weaker than one that never heard of the gate. So what a gate costs is bounded, and its way is taken
beside the target's at equal length, the less the further off it is. Two gradients, each by its own length, instead of
one weighted sum: after Bryniarski et al. 2021, "Evading Adversarial Example Detection Defenses with Orthogonal
Projected Gradient Descent" (arXiv:2106.15023), whose searches take the gradients in turn, or the part of one that is
orthogonal to the other. Departure: they are added, which to first order raises neither, and no step is spent on a gate
alone; the share falls with the distance, and is never 0: a detector that saturates looks further off than it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofglass.engine.points import norm, wide
from proofglass.engine.steps import unit

if TYPE_CHECKING:
    import torch

LEAST = 0.1  # of the target's length: to first order this slows a sign step towards the target by half a percent


def cost_of(over: torch.Tensor, evade: float, slack: float) -> torch.Tensor:
    """What gates add to a loss: evade x over / (over + slack), float [B].

    over: max(0, margin + slack), by how much they would have to yield. It rises with the margin and never beyond
    `evade`: gates far out of reach cost every picture as much, and the target alone ranks these.
    """
    most = over.clamp(max=1e30)  # infinity over itself is no number
    return evade * (most / (most + slack)).where(over > 0, over)


def way_past(over: torch.Tensor, slope: torch.Tensor, reach: float) -> torch.Tensor:
    """The way that passes gates, [B, ...]: the margin's gradient, of length 1 - (distance / reach)^2 and at least
    LEAST, 0 where the gate lets the picture pass.

    over: as for `cost_of`; slope: the margin's gradient; reach: in pixel units. Distance is the step that closes the
    gate to first order, the same at every pixel: over / sum |slope|.
    """
    distance = over / slope.flatten(1).abs().sum(1).clamp_min(1e-30)
    share = (1 - (distance / reach) ** 2).clamp(min=LEAST).where(over > 0, over)
    return wide(share, slope) * unit(slope)


def beside(grad: torch.Tensor, way: torch.Tensor) -> torch.Tensor:
    """`grad`, [B, ...], with `way` beside it, as long as `grad` is; `way` alone where there is no gradient."""
    length = norm(grad)
    return grad + length.where(length > 0, length + 1) * way
