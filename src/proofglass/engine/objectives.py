"""Objectives: a loss per picture and its gradient. Ascent is descent on the negative: never a flag of a step rule."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from proofglass.engine.gates import beside, cost_of, way_past
from proofglass.engine.memory import NOTHING, Memory, joined, part
from proofglass.engine.points import IMAGE, Point, named, shaped, wide
from proofglass.engine.schedule import A_GRADIENT, A_LOSS
from proofglass.interfaces import Layer, Target, Weighting, WhiteBoxVictim
from proofglass.types import Chat, Cost

if TYPE_CHECKING:
    import torch


OF_A_GATE = Cost(forward=2, backward=1)  # a margin and its gradient: the prompt is read twice


@dataclass(frozen=True)
class Evaluation:
    """loss: float [B]; grad: float32, in the form of x (a variable that is missing has gradient zero), or None where
    only the value was asked for. forward, backward: passes spent in all, one per (picture, target) row.
    memory: what the objective remembers after this step, to be handed in at the next one."""

    loss: torch.Tensor
    grad: Point | None
    forward: int
    backward: int
    memory: Memory = field(default_factory=dict)


class Objective(ABC):
    """What `minimise` minimises, over pictures that are independent of each other.

    x is one picture per row, float32 [B, 3, H, W], or several variables by name (`points.Point`).
    `fixed`: the same function at every step (a sampled one is not, and its losses cannot be compared).
    An objective never changes itself: what it remembers goes in and comes back (`memory`).
    """

    fixed: bool = True

    @property
    def plain(self) -> bool:
        """Whether the loss of a step is the whole objective's, as `value` gives it. Default: where it is fixed."""
        return self.fixed

    @abstractmethod
    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        """Loss and gradient at `x` as drawn for step `step` (0-based; draws depend on seed and step only).

        memory: what the step before gave back; empty: what `self.memory()` holds, the beginning.
        """

    def value(self, x: Point) -> Evaluation:
        """The whole objective without gradient: what is compared before and after rounding."""
        return self(x, 0, need_grad=False, memory=self.memory())

    @abstractmethod
    def rows(self, picks: Sequence[int]) -> Self:
        """The objective of these pictures, in this order; repeats are allowed."""

    def price(self, need_grad: bool) -> Cost:
        """Passes per picture of a step with gradient, or of `value`: what a budget must hold before the first of each.
        (Later steps are priced by the last one.) Default: one pass forward, and one backward for a gradient."""
        return A_GRADIENT if need_grad else A_LOSS

    def memory(self) -> Memory:
        """What it remembers before the first step: tensors by name, batch first. Default: nothing."""
        return NOTHING


def widened(objective: Objective, pictures: int, count: int, kept: dict[int, Objective]) -> Objective:
    """`objective` of a batch in which each of `pictures` stands `count` times in a row. kept: count -> what was made of
    this objective before, so that nothing is prepared anew at every step."""
    if count not in kept:
        kept[count] = objective.rows([b for b in range(pictures) for _ in range(count)])
    return kept[count]


@dataclass
class TargetNLL(Objective):
    """Teacher-forced cross-entropy of targets: how surprised the victim is by the answer an attacker wants.

    pairs[b]: the (chat, target) pairs of picture b. per_step: how many pairs of a picture each step draws,
    without replacement (None: all; then the objective is fixed). The draw of a step depends on (seed, step) only,
    so neither micro-batches nor a resume change the trajectory; `seed` is one for all pictures, or one for each.
    weighting: see `WhiteBoxVictim.loss_and_grad`. append_eos: the end token belongs to the target.
    value_pairs: how many pairs of a picture `value` looks at, the first ones (None: all).
    slots: the variables that are pictures of the chats, the k-th name the k-th picture over all turns; one name is the
    usual case. prepared: the pairs, tokenised; made here unless given. An attack may give them weights or soft labels
    first. evade, slack, reach: where a defense before the victim has gates (`WhiteBoxVictim.gated`) and there is one
    slot, what is found is to pass them with a margin below -slack: `engine.gates` says what an open gate adds to the
    loss (evade at most) and which way it adds to the gradient (little where a gate is further off than `reach`, in
    pixel units), the mean over a picture's pairs. So there the gradient is a way, and not the slope of the loss. An
    evade of 0 adds nothing.
    Source: Qi et al. 2023, eq. 2; the published weightings differ and are part of an attack's identity.
    """

    victim: WhiteBoxVictim
    pairs: Sequence[Sequence[tuple[Chat, Target]]]
    per_step: int | None = None
    seed: int | Sequence[int] = 0
    weighting: Weighting = "token"
    append_eos: bool = False
    value_pairs: int | None = None
    slots: tuple[str, ...] = (IMAGE,)
    prepared: Any = field(default=None, repr=False)
    evade: float = 10.0
    slack: float = 0.05
    reach: float = 16 / 255
    fixed: bool = field(init=False)

    def __post_init__(self) -> None:
        if not self.pairs or not all(self.pairs):
            raise ValueError("pairs: expected at least one (chat, target) pair per picture, found none")
        if self.per_step is not None and self.per_step < 1:
            raise ValueError(f"per_step: expected at least 1, found {self.per_step}")
        most = max(len(row) for row in self.pairs)
        self.fixed = self.per_step is None or self.per_step >= most
        if self.prepared is None:
            several: dict[str, Any] = {} if self.slots == (IMAGE,) else {"slots": self.slots}
            self.prepared = self.victim.prepare(self.pairs, append_eos=self.append_eos, **several)

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

    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        return self._evaluate(x, self.draw(step), need_grad=need_grad)

    def value(self, x: Point) -> Evaluation:
        return self._evaluate(x, [list(range(len(row)))[: self.value_pairs] for row in self.pairs], need_grad=False)

    def rows(self, picks: Sequence[int]) -> Self:
        seed = self.seed if isinstance(self.seed, int) else [self.seed[b] for b in picks]
        pairs = [self.pairs[b] for b in picks]
        return replace(self, pairs=pairs, seed=seed, prepared=self.prepared.rows(picks))

    def price(self, need_grad: bool) -> Cost:
        pairs = max(len(row) for row in self.pairs)
        most = self.per_step if need_grad else self.value_pairs
        each = super().price(need_grad) + (OF_A_GATE if self._meets_gates else Cost())
        return each * (min(most or pairs, pairs) * self.victim.passes)

    @property
    def _meets_gates(self) -> bool:
        return self.evade > 0 and self.victim.gated and len(self.slots) == 1

    def _evaluate(self, x: Point, picks: list[list[int]], *, need_grad: bool) -> Evaluation:
        shown = {slot: named(x)[slot] for slot in self.slots}
        pixels: Any = shown if len(shown) > 1 else shown[self.slots[0]]
        seen = self.victim.loss_and_grad(
            pixels, self.prepared.select(picks), weighting=self.weighting, need_grad=need_grad
        )
        spent = A_GRADIENT if need_grad else A_LOSS
        loss, grad = seen.loss, dict(seen.pixels) if isinstance(seen.pixels, Mapping) else {self.slots[0]: seen.pixels}
        if self._meets_gates:
            added, way = self._gates(pixels, picks)
            loss, spent = loss + added, spent + OF_A_GATE
            if need_grad:
                grad = {self.slots[0]: beside(seen.pixels, way)}
        spent = spent * (sum(len(row) for row in picks) * self.victim.passes)
        return Evaluation(loss, shaped(grad, x) if need_grad else None, spent.forward, spent.backward)

    def _gates(self, pixels: Any, picks: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """What the gates add to the loss, the mean over the pairs of each picture, and the way past them."""
        import torch

        added, way = torch.zeros(len(picks), device=pixels.device), torch.zeros_like(pixels)
        for k in range(max(map(len, picks))):
            chats = [row[own[min(k, len(own) - 1)]][0] for row, own in zip(self.pairs, picks, strict=True)]
            margin, slope = self.victim.margin_and_grad(pixels, chats)
            share = torch.tensor([(k < len(own)) / len(own) for own in picks], device=pixels.device)
            over = (margin + self.slack).clamp(min=0).to(added)
            added = added + share * cost_of(over, self.evade, self.slack)
            way = way + wide(share, way) * way_past(over, slope.to(way), self.reach)
        return added, way


@dataclass
class Differentiable(Objective):
    """Any torch function of x: f(x, rows) -> loss [B], differentiable; rows: which pictures x holds. x has the form in
    which the search was begun: one picture per row, or variables by name.

    passes: network passes that one evaluation of one picture costs (0 for a penalty on pixels alone).
    """

    f: Callable[[Any, list[int]], torch.Tensor]
    count: int
    passes: int = 1
    picked: tuple[int, ...] = ()
    fixed: bool = True

    def __post_init__(self) -> None:
        self.picked = self.picked or tuple(range(self.count))

    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        import torch

        spent = self.passes * len(next(iter(named(x).values())))
        if not need_grad:
            with torch.no_grad():
                return Evaluation(self.f(x, list(self.picked)).detach().float(), None, spent, 0)
        leaves = {name: tensor.detach().requires_grad_(True) for name, tensor in named(x).items()}
        loss = self.f(shaped(leaves, x), list(self.picked))
        found = torch.autograd.grad(loss.sum(), list(leaves.values()), allow_unused=isinstance(x, Mapping))
        grads = {name: grad.float() for name, grad in zip(leaves, found, strict=True) if grad is not None}
        return Evaluation(loss.detach().float(), shaped(grads, x), spent, spent)

    def rows(self, picks: Sequence[int]) -> Self:
        return replace(self, count=len(picks), picked=tuple(self.picked[b] for b in picks))

    def price(self, need_grad: bool) -> Cost:
        return super().price(need_grad) * self.passes


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

    return Differentiable(distance, len(wanted), passes_of(encoder))


def passes_of(encoder: SeesPixels) -> int:
    """Passes that one look through `encoder` takes: several where a defense that draws at random stands before it."""
    passes: int = getattr(encoder, "passes", 1)
    return passes


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

    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        seen = [term(x, step, need_grad=need_grad, memory=part(memory, k)) for k, (_, term) in enumerate(self.terms)]
        return self._sum(seen, x)

    def value(self, x: Point) -> Evaluation:
        return self._sum([term.value(x) for _, term in self.terms], x)

    def rows(self, picks: Sequence[int]) -> Self:
        return type(self)([(w, term.rows(picks)) for w, term in self.terms])

    def price(self, need_grad: bool) -> Cost:
        return sum((term.price(need_grad) for _, term in self.terms), Cost())

    def memory(self) -> Memory:
        return joined([term.memory() for _, term in self.terms])

    def _sum(self, seen: Sequence[Evaluation], x: Point) -> Evaluation:
        import torch

        grads: dict[str, list[torch.Tensor]] = {}
        for (w, _), e in zip(self.terms, seen, strict=True):
            for name, grad in ({} if e.grad is None else named(e.grad)).items():
                grads.setdefault(name, []).append(w * grad)
        return Evaluation(
            torch.stack([w * e.loss for (w, _), e in zip(self.terms, seen, strict=True)]).sum(0),
            shaped({name: torch.stack(parts).sum(0) for name, parts in grads.items()}, x) if grads else None,
            sum(e.forward for e in seen),
            sum(e.backward for e in seen),
            joined([e.memory for e in seen]),
        )


def negated(objective: Objective) -> Weighted:
    """-J: the same search, uphill."""
    return Weighted([(-1.0, objective)])


def mean_of(objectives: Sequence[Objective]) -> Weighted:
    """Mean over surrogates or behaviours."""
    return Weighted([(1 / len(objectives), objective) for objective in objectives])
