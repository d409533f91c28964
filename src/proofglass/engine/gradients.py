"""Is there a gradient to follow? What came out non-finite counts as zero; the first one is looked at more closely."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from proofglass.engine.points import is_picture
from proofglass.engine.variables import On
from proofglass.errors import ZeroGradient

if TYPE_CHECKING:
    import torch

# A first gradient no longer than this, per square root of the number of values, is rounding noise or exactly zero.
ZERO_GRADIENT = 1e-12


def vanished(grad: torch.Tensor) -> torch.Tensor:
    """bool [B]: the gradients [B, ...] of these pictures are zero, or no longer than rounding noise."""
    length: torch.Tensor = grad.flatten(1).norm(dim=1)
    return length <= ZERO_GRADIENT * math.sqrt(grad[0].numel())


def usable(
    grads: Mapping[str, torch.Tensor], x: Mapping[str, torch.Tensor], moves: Mapping[str, On]
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The gradient of every variable, finite, and zero where its constraint allows no change or where none was given;
    and bool [B], which pictures' came out finite."""
    import torch

    found: dict[str, torch.Tensor] = {}
    finite = torch.ones(len(next(iter(x.values()))), dtype=torch.bool, device=next(iter(x.values())).device)
    for name, on in moves.items():
        grad = grads.get(name)
        if grad is None:
            found[name] = torch.zeros_like(x[name])
            continue
        finite = finite & torch.isfinite(grad).flatten(1).all(1).to(finite.device)
        grad = torch.nan_to_num(grad, 0.0, 0.0, 0.0)
        free = on.constraint.free(x[name][:1])
        found[name] = grad if free is None else grad * free
    return found, finite


def zero_shares(grads: Mapping[str, torch.Tensor], finite: torch.Tensor, moves: Mapping[str, On]) -> list[float]:
    """Share of exactly zero values among those that may move, per picture: of its pictures where it has some, else of
    all its variables.

    grads: already zero where nothing may move. finite: bool [B], which of them came out finite.
    Raises ZeroGradient if every picture's gradient vanished.
    """
    import torch

    names = [name for name in grads if is_picture(name)] or list(grads)
    whole = torch.cat([grads[name].flatten(1) for name in names], 1)
    may_move = torch.cat([_mask(grads[name][:1], moves[name]).flatten(1) for name in names], 1)
    share = float(may_move.float().mean())
    if bool((vanished(whole) & finite).all()):
        raise ZeroGradient(
            f"the gradient is zero at the start (norm {float(whole.norm(dim=1).max()):.1e}): the objective "
            "does not depend on the picture there, so that a sign step would only amplify rounding noise. Start from a "
            "random point, or change the objective."
        )
    zeros = ((whole == 0).float().mean(1) - (1 - share)) / max(share, 1e-12)
    return [round(float(zero), 6) for zero in zeros]


def _mask(one: torch.Tensor, on: On) -> torch.Tensor:
    """1 where the values of a variable [1, ...] may move, 0 elsewhere."""
    free = on.constraint.free(one)
    return one.new_ones(one.shape) if free is None else free.expand_as(one)
