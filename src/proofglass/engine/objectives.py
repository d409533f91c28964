"""Objectives: a loss per picture and its gradient. Ascent is descent on the negative: never a flag of a step rule."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from proofglass.interfaces import Layer, Target, Weighting, WhiteBoxVictim
from proofglass.types import Chat

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Evaluation:
    """loss: float [B]; grad: float32 of the shape of x, or None where only the value was asked for.
    forward, backward: passes spent in all, one per (picture, target) row."""

    loss: torch.Tensor
    grad: torch.Tensor | None
    forward: int
    backward: int


class Objective(ABC):
    """What `minimise` minimises, over pictures that are independent of each other.

    `fixed`: the same function at every step (a sampled one is not, and its losses cannot be compared).
    """

    fixed: bool = True

    @property
    def plain(self) -> bool:
        """Whether the loss of a step is the whole objective's, as `value` gives it. Default: where it is fixed."""
        return self.fixed

    @abstractmethod
    def __call__(self, x: torch.Tensor, step: int, *, need_grad: bool = True) -> Evaluation:
        """Loss and gradient at `x` as drawn for step `step` (0-based; draws depend on seed and step only)."""

    def value(self, x: torch.Tensor) -> Evaluation:
        """The whole objective without gradient: what is compared before and after rounding."""
        return self(x, 0, need_grad=False)

    @abstractmethod
    def rows(self, picks: Sequence[int]) -> Self:
        """The objective of these pictures, in this order; repeats are allowed."""

    def price(self, need_grad: bool) -> float:
        """Forward equivalents per picture of a step with gradient, or of `value`: what a budget must hold before the
        first of each. (Later steps are priced by the last one.) Default: one pass forward, one backward."""
        return 3.0 if need_grad else 1.0

    def memory(self) -> dict[str, torch.Tensor]:
        """What a checkpoint must keep beside x (a second player's moves). Default: nothing."""
        return {}

    def recall(self, memory: dict[str, torch.Tensor]) -> None:
        """Go on from a checkpoint's `memory`. Raises ValueError for a memory that this objective does not keep."""
        if memory:
            raise ValueError(f"memory: {type(self).__name__} keeps none, found {', '.join(sorted(memory))}")


@dataclass
class TargetNLL(Objective):
    """Teacher-forced cross-entropy of targets: how surprised the victim is by the answer an attacker wants.

    pairs[b]: the (chat, target) pairs of picture b. per_step: how many pairs of a picture each step draws,
    without replacement (None: all; then the objective is fixed). The draw of a step depends on (seed, step) only,
    so neither micro-batches nor a resume change the trajectory; `seed` is one for all pictures, or one for each.
    weighting: see `WhiteBoxVictim.loss_and_grad`. append_eos: the end token belongs to the target.
    value_pairs: how many pairs of a picture `value` looks at, the first ones (None: all).
    prepared: the pairs, tokenised; made here unless given. An attack may give them weights or soft labels first.
    Source: Qi et al. 2023, eq. 2; the published weightings differ and are part of an attack's identity.
    """

    victim: WhiteBoxVictim
    pairs: Sequence[Sequence[tuple[Chat, Target]]]
    per_step: int | None = None
    seed: int | Sequence[int] = 0
    weighting: Weighting = "token"
    append_eos: bool = False
    value_pairs: int | None = None
    prepared: Any = field(default=None, repr=False)
    fixed: bool = field(init=False)

    def __post_init__(self) -> None:
        if not self.pairs or not all(self.pairs):
            raise ValueError("pairs: expected at least one (chat, target) pair per picture, found none")
        if self.per_step is not None and self.per_step < 1:
            raise ValueError(f"per_step: expected at least 1, found {self.per_step}")
        most = max(len(row) for row in self.pairs)
        self.fixed = self.per_step is None or self.per_step >= most
        if self.prepared is None:
            self.prepared = self.victim.prepare(self.pairs, append_eos=self.append_eos)

    @property
    def plain(self) -> bool:
        return self.fixed and not self.victim.draws

    def draw(self, step: int) -> list[list[int]]:
        """Which pairs of each picture step `step` uses: all, or `per_step` drawn without replacement."""
        if self.fixed:
            return [list(range(len(row))) for row in self.pairs]
        seeds = [self.seed] * len(self.pairs) if isinstance(self.seed, int) else self.seed
        return [
            random.Random(f"{seed}/{step}").sample(range(len(row)), min(self.per_step or len(row), len(row)))
            for seed, row in zip(seeds, self.pairs, strict=True)
        ]

    def __call__(self, x: torch.Tensor, step: int, *, need_grad: bool = True) -> Evaluation:
        return self._evaluate(x, self.draw(step), need_grad=need_grad)

    def value(self, x: torch.Tensor) -> Evaluation:
        return self._evaluate(x, [list(range(len(row)))[: self.value_pairs] for row in self.pairs], need_grad=False)

    def rows(self, picks: Sequence[int]) -> Self:
        import dataclasses

        seed = self.seed if isinstance(self.seed, int) else [self.seed[b] for b in picks]
        pairs = [self.pairs[b] for b in picks]
        return dataclasses.replace(self, pairs=pairs, seed=seed, prepared=self.prepared.rows(picks))

    def price(self, need_grad: bool) -> float:
        pairs = max(len(row) for row in self.pairs)
        most = self.per_step if need_grad else self.value_pairs
        return min(most or pairs, pairs) * max(self.victim.draws, 1) * super().price(need_grad)

    def _evaluate(self, x: torch.Tensor, picks: list[list[int]], *, need_grad: bool) -> Evaluation:
        result = self.victim.loss_and_grad(
            x, self.prepared.select(picks), weighting=self.weighting, need_grad=need_grad
        )
        rows = sum(len(row) for row in picks) * max(self.victim.draws, 1)
        return Evaluation(result.loss, result.pixels if need_grad else None, rows, rows if need_grad else 0)


@dataclass
class Differentiable(Objective):
    """Any torch function of the pixels: f(x, rows) -> loss [B], differentiable; rows: which pictures x holds.

    passes: network passes that one evaluation of one picture costs (0 for a penalty on pixels alone).
    """

    f: Callable[[torch.Tensor, list[int]], torch.Tensor]
    count: int
    passes: int = 1
    picked: tuple[int, ...] = ()
    fixed: bool = True

    def __post_init__(self) -> None:
        self.picked = self.picked or tuple(range(self.count))

    def __call__(self, x: torch.Tensor, step: int, *, need_grad: bool = True) -> Evaluation:
        import torch

        spent = self.passes * len(x)
        if not need_grad:
            with torch.no_grad():
                return Evaluation(self.f(x, list(self.picked)).detach().float(), None, spent, 0)
        x = x.detach().requires_grad_(True)
        loss = self.f(x, list(self.picked))
        (grad,) = torch.autograd.grad(loss.sum(), x)
        return Evaluation(loss.detach().float(), grad.float(), spent, spent)

    def rows(self, picks: Sequence[int]) -> Self:
        import dataclasses

        return dataclasses.replace(self, count=len(picks), picked=tuple(self.picked[b] for b in picks))

    def price(self, need_grad: bool) -> float:
        return self.passes * super().price(need_grad)


class SeesPixels(Protocol):
    """A victim or an encoder: anything whose vision tower is open."""

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor: ...


def embedding_distance(
    encoder: SeesPixels,
    wanted: torch.Tensor,
    *,
    layer: Layer = "pooled",
    metric: Literal["l2", "mse", "cosine"] = "l2",
    sign: float = 1.0,
) -> Differentiable:
    """Distance of a picture's embedding to `wanted` [B, ...]; sign -1 drives it away instead.

    metric "l2": ||f(x) - wanted + 1e-6||_2, torch's PairwiseDistance, whose constant keeps the gradient finite at
    distance 0 (Shayegani et al. 2023); "mse": mean squared difference (Dong et al. 2023); "cosine": 1 - cosine.
    """

    def distance(x: torch.Tensor, rows: list[int]) -> torch.Tensor:
        import torch

        found = encoder.features(x, layer).flatten(1).float()
        goal = wanted[rows].flatten(1).to(found)
        if metric == "l2":
            return sign * torch.nn.functional.pairwise_distance(found, goal, p=2, eps=1e-6)
        if metric == "mse":
            return sign * ((found - goal) ** 2).mean(1)
        return sign * (1 - torch.nn.functional.cosine_similarity(found, goal, dim=1))

    return Differentiable(distance, len(wanted), max(encoder.draws, 1) if isinstance(encoder, WhiteBoxVictim) else 1)


@dataclass
class Weighted(Objective):
    """Sum of weight x objective. A weight of -1 turns a target to reach into a truth to leave (untargeted)."""

    terms: Sequence[tuple[float, Objective]]

    def __post_init__(self) -> None:
        if not self.terms:
            raise ValueError("terms: expected at least one objective, found none")
        self.fixed = all(term.fixed for _, term in self.terms)

    @property
    def plain(self) -> bool:
        return all(term.plain for _, term in self.terms)

    def __call__(self, x: torch.Tensor, step: int, *, need_grad: bool = True) -> Evaluation:
        return self._sum([(w, term(x, step, need_grad=need_grad)) for w, term in self.terms])

    def value(self, x: torch.Tensor) -> Evaluation:
        return self._sum([(w, term.value(x)) for w, term in self.terms])

    def rows(self, picks: Sequence[int]) -> Self:
        return type(self)([(w, term.rows(picks)) for w, term in self.terms])

    def price(self, need_grad: bool) -> float:
        return sum(term.price(need_grad) for _, term in self.terms)

    def memory(self) -> dict[str, torch.Tensor]:
        return {f"{k}.{name}": t for k, (_, term) in enumerate(self.terms) for name, t in term.memory().items()}

    def recall(self, memory: dict[str, torch.Tensor]) -> None:
        for k, (_, term) in enumerate(self.terms):
            mine = {name.partition(".")[2]: t for name, t in memory.items() if name.partition(".")[0] == str(k)}
            term.recall(mine)

    @staticmethod
    def _sum(seen: Sequence[tuple[float, Evaluation]]) -> Evaluation:
        import torch

        loss = torch.stack([w * e.loss for w, e in seen]).sum(0)
        grads = [w * e.grad for w, e in seen if e.grad is not None]
        grad = torch.stack(grads).sum(0) if grads else None
        return Evaluation(loss, grad, sum(e.forward for _, e in seen), sum(e.backward for _, e in seen))


def negated(objective: Objective) -> Weighted:
    """-J: the same search, uphill."""
    return Weighted([(-1.0, objective)])


def mean_of(objectives: Sequence[Objective]) -> Weighted:
    """Mean over surrogates or behaviours."""
    return Weighted([(1 / len(objectives), objective) for objective in objectives])
