"""How the training stages of the testbed call the one loop (`engine/learning.py`), and what they log of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from proofglass.engine import learning
from proofglass.engine.learning import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

Log = Callable[[str], None]
__all__ = ["Log", "Recipe", "fit"]


def fit(
    loss: Callable[[int], Tensor],
    recipe: Recipe,
    groups: Iterable[tuple[Iterable[nn.Parameter], float]],
    log: Log,
    name: str,
) -> float:
    """Minimise `loss(batch)` over groups of (parameters, factor on the rate). Returns wall seconds."""
    cpu, running = time.process_time(), 0.0

    def seen(done: int, value: float, seconds: float) -> None:
        nonlocal running
        running += value
        if done % 50 == 0:
            log(
                f"{name} {done}/{recipe.steps} loss {running / 50:.4f} "
                f"wall {seconds:.0f} s cpu {time.process_time() - cpu:.0f} s"
            )
            running = 0.0

    return learning.fit(lambda step: [loss(recipe.batch)], recipe, groups, seen=seen)
