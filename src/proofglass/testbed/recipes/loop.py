"""The one optimisation loop of all training stages."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

Log = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """AdamW, gradient clip 1, warm-up, a flat part, then a cosine down to `end` of the rate."""

    steps: int
    batch: int
    rate: float
    warm_up: int = 40
    flat: float = 0.0
    end: float = 0.02
    decay: float = 0.01

    def factor(self, step: int) -> float:
        done = step / self.steps
        shape = 1.0
        if done > self.flat:
            shape = self.end + (1 - self.end) * 0.5 * (1 + math.cos(math.pi * (done - self.flat) / (1 - self.flat)))
        return min(1.0, (step + 1) / self.warm_up) * shape


def fit(
    loss: Callable[[int], Tensor],
    recipe: Recipe,
    groups: Iterable[tuple[Iterable[nn.Parameter], float]],
    log: Log,
    name: str,
) -> float:
    """Minimise `loss(batch)` over groups of (parameters, factor on the rate). Returns wall seconds."""
    import torch

    groups = [([p for p in parameters if p.requires_grad], scale) for parameters, scale in groups]
    everything = [p for parameters, _ in groups for p in parameters]
    optimiser = torch.optim.AdamW(
        [{"params": parameters, "lr": recipe.rate} for parameters, _ in groups],
        weight_decay=recipe.decay,
        betas=(0.9, 0.98),
    )
    began, cpu, running = time.time(), time.process_time(), 0.0
    for step in range(recipe.steps):
        for group, (_, scale) in zip(optimiser.param_groups, groups, strict=True):
            group["lr"] = recipe.rate * scale * recipe.factor(step)
        value = loss(recipe.batch)
        value.backward()
        torch.nn.utils.clip_grad_norm_(everything, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        running += value.item()
        if (step + 1) % 50 == 0:
            log(
                f"{name} {step + 1}/{recipe.steps} loss {running / 50:.4f} "
                f"wall {time.time() - began:.0f} s cpu {time.process_time() - cpu:.0f} s"
            )
            running = 0.0
    return time.time() - began
