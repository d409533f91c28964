"""Objectives with known optima, and one of every step rule and constraint, for the tests of the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from proofglass.engine import (
    L2,
    Adam,
    APGDStep,
    Border,
    Box,
    CommonWeakness,
    Differentiable,
    Evaluation,
    GradientStep,
    LInf,
    MomentumStep,
    NormalisedStep,
    Objective,
    Patch,
    Rows,
    SignStep,
    SquareStep,
    Within,
    named,
    shaped,
)
from proofglass.engine.memory import NOTHING, Memory
from proofglass.engine.points import Point
from proofglass.types import Cost

SIDE = 6
# Every rule that takes gradients, with a step that crosses an eighth of the set below.
RULES: dict[str, Callable[[], Any]] = {
    "sign": lambda: SignStep(0.02),
    "gradient": lambda: GradientStep(0.1),
    "clipped gradient": lambda: GradientStep(0.5, max_norm=0.4),
    "normalised": lambda: NormalisedStep(0.1),
    "momentum l1": lambda: MomentumStep(0.02, 0.5, "l1"),
    "momentum sign": lambda: MomentumStep(0.02, 0.5, "sign"),
    "momentum unit": lambda: MomentumStep(0.1, 0.5, "unit"),
    "adam": lambda: Adam(0.02, beta1=0.5, beta2=0.9),
    "apgd linf": lambda: APGDStep(0.2),
    "apgd l2": lambda: APGDStep(1.0, "l2"),
    "common weakness": lambda: CommonWeakness(1, xi=0.02, beta=0.1, mu=0.5),
}
EVERY_RULE = RULES | {"square": lambda: SquareStep(0.1)}
CONSTRAINTS: dict[str, Callable[[], Any]] = {
    "linf": lambda: LInf(0.1),
    "linf from the picture": lambda: LInf(0.1, "clean"),
    "linf from a face": lambda: LInf(0.1, "face"),
    "l2": lambda: L2(0.8),
    "l2 from the picture": lambda: L2(0.8, "clean"),
    "box": lambda: Box("clean"),
    "patch": lambda: Within(Box("clean"), Patch(3, 2, 0.4, 0.6)),
    "border": lambda: Within(LInf(0.1), Border(1)),
    "rows": lambda: Within(L2(0.5), Rows(2)),
}


def pictures(seed: int, count: int = 1, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    """float32 [count, 3, SIDE, SIDE], uniform in [low, high)."""
    return low + (high - low) * torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def quadratic(t: torch.Tensor, factor: float = 0.5) -> Differentiable:
    """factor * |x - t|^2 per picture: over a convex set its optimum is the point nearest to t."""
    return Differentiable(lambda x, rows: factor * ((x - t[rows]) ** 2).flatten(1).sum(1), len(t))


def linear(a: torch.Tensor) -> Differentiable:
    """a . x per picture."""
    return Differentiable(lambda x, rows: (a[rows] * x).flatten(1).sum(1), len(a))


def inside(x: torch.Tensor, x0: torch.Tensor, constraint: Any) -> bool:
    """Whether `x` lies in the set, by the definition of the set and not by its projection."""
    if isinstance(constraint, Within):
        outside = ~constraint.region.mask(*x.shape[-2:])
        return bool((x == x0)[..., outside].all()) and inside(x, x0, constraint.inner)
    in_box = float(x.min()) >= 0 and float(x.max()) <= 1
    if isinstance(constraint, LInf):
        return in_box and float((x - x0).abs().max()) <= constraint.epsilon + 1e-6
    if isinstance(constraint, L2):
        return in_box and float((x - x0).flatten(1).norm(dim=1).max()) <= constraint.epsilon * (1 + 1e-5)
    return in_box


@dataclass
class Recorded(Objective):
    """`objective`, with every iterate whose gradient (or loss, for a search) the loop asked for. fails_at: the call
    that raises `Killed`, as if the process had died there."""

    objective: Objective
    seen: list[torch.Tensor] = field(default_factory=list)
    fails_at: int | None = None
    calls: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fixed = self.objective.fixed

    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        if self.fails_at is not None and len(self.calls) == self.fails_at:
            raise Killed
        self.calls.append(step)
        self.seen.append(next(iter(named(x).values())).clone())
        return self.objective(x, step, need_grad=need_grad, memory=memory)

    def value(self, x: Point) -> Evaluation:
        return self.objective.value(x)

    def rows(self, picks: Sequence[int]) -> Recorded:
        return dataclasses.replace(self, objective=self.objective.rows(picks))  # the lists are shared

    def price(self, need_grad: bool) -> Cost:
        return self.objective.price(need_grad)

    def memory(self) -> Memory:
        return self.objective.memory()


class Killed(BaseException):
    """The process died."""


@dataclass
class Remembering(Objective):
    """0.5 |x - t - y|^2 where y [B, 3, H, W], its memory, moves away from x after each look with a gradient."""

    t: torch.Tensor
    fixed: bool = True

    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        picture, memory = named(x)["image"], memory or self.memory()
        gap = picture - self.t - memory["y"]
        loss = 0.5 * (gap**2).flatten(1).sum(1)
        if not need_grad:
            return Evaluation(loss, None, len(picture), 0, memory)
        after = {"y": memory["y"] - 0.01 * gap.sign()}
        return Evaluation(loss, shaped({"image": gap}, x), len(picture), len(picture), after)

    def value(self, x: Point) -> Evaluation:
        picture = named(x)["image"]
        return Evaluation(0.5 * ((picture - self.t) ** 2).flatten(1).sum(1), None, len(picture), 0)

    def rows(self, picks: Sequence[int]) -> Remembering:
        return Remembering(self.t[list(picks)])

    def memory(self) -> Memory:
        return {"y": torch.zeros_like(self.t)}


def saddle(a: torch.Tensor) -> Differentiable:
    """Of "image" x and "prompt" y, both [B, 3, H, W]: 0.5 |x - a|^2 - 0.5 |y - a|^2 + 0.1 x.y per picture: convex in x,
    concave in y, so that one goes down and one up to the one saddle point."""

    def value(point: Mapping[str, torch.Tensor], rows: list[int]) -> torch.Tensor:
        x, y, goal = point["image"], point["prompt"], a[rows]
        return (0.5 * (x - goal) ** 2 - 0.5 * (y - goal) ** 2 + 0.1 * x * y).flatten(1).sum(1)

    return Differentiable(value, len(a))


def two_pictures(s: torch.Tensor, t: torch.Tensor) -> Differentiable:
    """0.5 |x - s|^2 + |x2 - t|^2 per row, of "image" x and "image2" x2."""

    def value(point: Mapping[str, torch.Tensor], rows: list[int]) -> torch.Tensor:
        one, other = point["image"] - s[rows], point["image2"] - t[rows]
        return 0.5 * (one**2).flatten(1).sum(1) + (other**2).flatten(1).sum(1)

    return Differentiable(value, len(s))
