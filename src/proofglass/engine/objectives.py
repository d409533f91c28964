"""Objectives: a loss per row and its gradient. The gradient comes from the victim's port, not from a graph here."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from proofglass.interfaces import Weighting, WhiteBoxVictim
from proofglass.types import Chat

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Evaluation:
    """loss: float [B]; grad: float32 of the shape of x, or None where only the value was asked for.
    forward, backward: passes spent, one per (picture, target) row."""

    loss: torch.Tensor
    grad: torch.Tensor | None
    forward: int
    backward: int


class Objective(Protocol):
    """What `minimise` minimises. `fixed`: the same function at every step (a sampled one is not)."""

    fixed: bool

    def __call__(self, x: torch.Tensor, step: int) -> Evaluation:
        """Loss and gradient at `x` as seen in step `step` (0-based; draws depend on the step only)."""

    def value(self, x: torch.Tensor) -> Evaluation:
        """The whole objective without gradient: what is compared before and after rounding."""


@dataclass
class TargetNLL:
    """Teacher-forced cross-entropy of targets: how surprised the victim is by the answer an attacker wants.

    pairs[b]: the (chat, target) pairs of picture b. per_step: how many pairs of a picture each step draws,
    without replacement (None: all; then the objective is fixed). The draw of a step depends on (seed, step) only,
    so neither micro-batches nor a resume change the trajectory. weighting: see `WhiteBoxVictim.loss_and_grad`.
    Source: Qi et al. 2023, eq. 2; the published weightings differ and are part of an attack's identity.
    """

    victim: WhiteBoxVictim
    pairs: Sequence[Sequence[tuple[Chat, str]]]
    per_step: int | None = None
    seed: int = 0
    weighting: Weighting = "token"
    fixed: bool = field(init=False)
    _prepared: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.pairs or not all(self.pairs):
            raise ValueError("pairs: expected at least one (chat, target) pair per picture, found none")
        if self.per_step is not None and self.per_step < 1:
            raise ValueError(f"per_step: expected at least 1, found {self.per_step}")
        most = max(len(row) for row in self.pairs)
        self.fixed = self.per_step is None or self.per_step >= most
        self._prepared = self.victim.prepare(self.pairs)

    def draw(self, step: int) -> list[list[int]]:
        """Which pairs of each picture step `step` uses: all, or `per_step` drawn without replacement."""
        if self.fixed:
            return [list(range(len(row))) for row in self.pairs]
        rng = random.Random(f"{self.seed}/{step}")
        return [rng.sample(range(len(row)), min(self.per_step or len(row), len(row))) for row in self.pairs]

    def __call__(self, x: torch.Tensor, step: int) -> Evaluation:
        return self._evaluate(x, self.draw(step), need_grad=True)

    def value(self, x: torch.Tensor) -> Evaluation:
        return self._evaluate(x, [list(range(len(row))) for row in self.pairs], need_grad=False)

    def _evaluate(self, x: torch.Tensor, picks: list[list[int]], *, need_grad: bool) -> Evaluation:
        result = self.victim.loss_and_grad(
            x, self._prepared.select(picks), weighting=self.weighting, need_grad=need_grad
        )
        rows = sum(len(row) for row in picks)
        return Evaluation(result.loss, result.pixels if need_grad else None, rows, rows if need_grad else 0)
