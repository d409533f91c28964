"""How long an optimisation runs, and who looks at its pictures meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from proofglass.types import Image, Seconds


@dataclass(frozen=True)
class Schedule:
    """steps: number of updates. decay: factor on the step size, "constant" or "cosine" (1 at the first step, towards
    `floor` after the last). period: steps over which the cosine holds still, e.g. an epoch. restarts: runs with fresh
    starts, after the first only for pictures that have not succeeded; the best loss (or check) of all counts."""

    steps: int
    decay: Literal["constant", "cosine"] = "constant"
    floor: float = 0.0
    period: int = 1
    restarts: int = 1

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps: expected 0 or more, found {self.steps}")
        if self.period < 1 or self.restarts < 1:
            raise ValueError(f"period, restarts: expected at least 1, found {self.period}, {self.restarts}")
        if self.decay not in ("constant", "cosine"):
            raise ValueError(f"decay: expected constant or cosine, found {self.decay!r}")

    def within(self, budget: float | None, *, price: float, end: float = 1) -> Schedule:
        """This schedule with at most as many steps as `budget` pays, for rules whose course depends on how many steps
        there are. price, end: forward equivalents per picture of a step, and of judging the last iterate. A budget in
        seconds buys an unknown number of steps and shortens nothing here."""
        if budget is None or isinstance(budget, Seconds):
            return self
        paid = int((budget / self.restarts - end) // price)
        return replace(self, steps=min(self.steps, paid)) if paid > 0 else replace(self, steps=0, restarts=1)

    def scale(self, step: int) -> float:
        if self.decay == "constant":
            return 1.0
        done, whole = step // self.period, max(math.ceil(self.steps / self.period), 1)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done / whole))


@dataclass(frozen=True)
class Check:
    """A look at the 8-bit picture every `every` steps, and at the last iterate.

    score(pictures, rows) -> success of each in 0..1; `rows` says which pictures of the batch they are. stop_at: a
    picture that scores at least this is finished there and costs nothing more; None never stops. queries: replies
    that scoring one picture costs; they count into the budget.
    """

    every: int
    score: Callable[[list[Image], list[int]], Sequence[float]]
    stop_at: float | None = 1.0
    queries: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every: expected at least 1 step, found {self.every}")
