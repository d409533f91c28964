"""How long an optimisation runs, and who looks at its pictures meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from proofglass.types import Budget, Cost, Reply

A_LOSS = Cost(forward=1)  # what a look at a loss costs a picture
A_GRADIENT = Cost(forward=1, backward=1)  # ... and a look at a loss and its gradient


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

    def within(self, budget: Budget | None, *, price: Cost, end: Cost = A_LOSS, passes: int = 1) -> Schedule:
        """This schedule with at most as many steps as `budget` pays, for rules whose course depends on how many steps
        there are. price, end: what a step costs a picture, and judging its last iterate, both times `passes` (of a look
        at the victim: `WhiteBoxVictim.passes`). A budget of which a step costs nothing (in seconds, say) buys an
        unknown number of steps and shortens nothing here."""
        price, end = price * passes, end * passes
        if budget is None or not budget.of(price):
            return self
        paid = int((budget.amount / self.restarts - budget.of(end)) // budget.of(price))
        return replace(self, steps=min(self.steps, paid)) if paid > 0 else replace(self, steps=0, restarts=1)

    def scale(self, step: int) -> float:
        if self.decay == "constant":
            return 1.0
        done, whole = step // self.period, max(math.ceil(self.steps / self.period), 1)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done / whole))


ONE_REPLY = Cost(queries=1)


@dataclass(frozen=True)
class Look:
    """What a check saw of one picture. score: its success, in 0..1. cost: what looking cost, which counts into the
    picture's cost and budget; `replies_cost` gives that of replies."""

    score: float
    cost: Cost = ONE_REPLY


@dataclass(frozen=True)
class Check:
    """A look at the 8-bit picture every `every` steps, and at the last iterate.

    score(pictures, rows) -> a `Look` at each, or a plain score, which then has cost `queries` replies; `rows` says
    which pictures of the batch they are. Where several variables are pictures, each entry holds all of a row, by name.
    stop_at: a picture that scores at least this is finished there and costs
    nothing more; None never stops. queries: forward equivalents that a look at one picture costs at most; a budget
    holds so many back for the last one. (A budget of tokens or money holds back what the dearest look so far cost: the
    first one may pass it.)
    """

    every: int
    score: Callable[[list[Any], list[int]], Sequence[float | Look]]
    stop_at: float | None = 1.0
    queries: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every: expected at least 1 step, found {self.every}")


def replies_cost(replies: Iterable[Reply]) -> Cost:
    """What asking adds to the cost of an attack: queries, tokens and money.

    A victim counts the forward pass of its reply beside the query (`Reply.cost`); in an attack's cost a reply is a
    query and nothing else, or a budget in forward equivalents would pay for it twice.
    """
    asked = sum((reply.cost for reply in replies), Cost())
    return replace(asked, forward=0, backward=0, seconds=0.0, peak_bytes=0)
