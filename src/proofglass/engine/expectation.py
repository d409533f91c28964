"""Expectations: objectives averaged over transforms, patch places or surrogates, drawn anew at every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from proofglass.engine.objectives import Evaluation, Objective
from proofglass.engine.seeds import drawing, seed_of, stream

if TYPE_CHECKING:
    import torch


class Transform(Protocol):
    """A random linear map of pictures plus noise."""

    def draw(self, like: torch.Tensor, generator: torch.Generator) -> Any:
        """The random part for one picture [3, H, W]."""

    def apply(self, x: torch.Tensor, drawn: Any) -> torch.Tensor:
        """The transformed picture."""

    def adjoint(self, grad: torch.Tensor, drawn: Any) -> torch.Tensor:
        """The gradient at x of a function whose gradient at the transformed picture is `grad`."""


@dataclass
class Transformed(Objective):
    """Mean over `draws` random transforms of the picture, anew at every step, from (seeds[b], step) alone.

    through: follow the chain rule through the transform; False uses the gradient at the transformed picture as the
    gradient at x, as published code does. What leaves [0, 1] is clamped before the network sees it, and the gradient
    is zero there. at_once: draws per pass (memory). The value of the whole is that of the untransformed picture.
    """

    objective: Objective
    transform: Transform
    draws: int
    seeds: Sequence[int]
    through: bool = False
    at_once: int = 20
    fixed: bool = field(default=False, init=False)
    _wide: dict[int, Objective] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, x: torch.Tensor, step: int, *, need_grad: bool = True) -> Evaluation:
        import torch

        total, loss = torch.zeros_like(x), torch.zeros(len(x), device=x.device)
        forward = backward = 0
        for first in range(0, self.draws, self.at_once):
            count = min(self.at_once, self.draws - first)
            drawn = [
                [self.transform.draw(x[b], stream(seed, "transform", step, first + k)) for k in range(count)]
                for b, seed in enumerate(self.seeds)
            ]
            many = torch.stack([self.transform.apply(x[b], d) for b in range(len(x)) for d in drawn[b]])
            each = [seed_of(seed, "transform", first + k) for seed in self.seeds for k in range(count)]
            with drawing(each, step):
                seen = self._widened(len(x), count)(many.clamp(0, 1), step, need_grad=need_grad)
            forward, backward = forward + seen.forward, backward + seen.backward
            loss += seen.loss.reshape(len(x), count).sum(1) / self.draws
            if seen.grad is None:
                continue
            grad = (seen.grad * ((many >= 0) & (many <= 1))).reshape(len(x), count, *x.shape[1:])
            for b in range(len(x)):
                for k in range(count):
                    here = self.transform.adjoint(grad[b, k], drawn[b][k]) if self.through else grad[b, k]
                    total[b] += here / self.draws
        return Evaluation(loss, total if need_grad else None, forward, backward)

    def _widened(self, pictures: int, count: int) -> Objective:
        if count not in self._wide:
            self._wide[count] = self.objective.rows([b for b in range(pictures) for _ in range(count)])
        return self._wide[count]

    def value(self, x: torch.Tensor) -> Evaluation:
        return self.objective.value(x)

    def price(self, need_grad: bool) -> float:
        return (self.draws if need_grad else 1) * self.objective.price(need_grad)

    def rows(self, picks: Sequence[int]) -> Self:
        return dataclasses.replace(
            self, objective=self.objective.rows(picks), seeds=tuple(self.seeds[b] for b in picks)
        )


@dataclass
class Placed(Objective):
    """A patch pasted at a random place of a carrier picture, anew at every step (moving patch, Bailey et al. 2023).

    The variable is the patch, [B, 3, h, w]. carriers: float32 [B, 3, H, W]. Places are uniform over all that fit and
    depend on (seeds[b], step) only. `value` is the mean over `tries` fixed places.
    """

    objective: Objective
    carriers: torch.Tensor
    seeds: Sequence[int]
    tries: int = 4
    fixed: bool = field(default=False, init=False)

    def place(self, seed: int, step: int | str, height: int, width: int) -> tuple[int, int]:
        """Top left corner of a patch of `height` x `width` pixels."""
        import torch

        draws = stream(seed, "place", step)
        rows, columns = self.carriers.shape[-2] - height + 1, self.carriers.shape[-1] - width + 1
        if rows < 1 or columns < 1:
            raise ValueError(f"patch: {height} x {width} does not fit into {tuple(self.carriers.shape[-2:])}")
        return (
            int(torch.randint(rows, (), generator=draws)),
            int(torch.randint(columns, (), generator=draws)),
        )

    def paste(self, patch: torch.Tensor, step: int | str) -> tuple[torch.Tensor, list[tuple[int, int]]]:
        """Carriers with the patches on them, and the corners."""
        whole = self.carriers.clone()
        height, width = patch.shape[-2:]
        corners = [self.place(seed, step, height, width) for seed in self.seeds]
        for b, (top, left) in enumerate(corners):
            whole[b, :, top : top + height, left : left + width] = patch[b]
        return whole, corners

    def __call__(self, x: torch.Tensor, step: int, *, need_grad: bool = True) -> Evaluation:
        import torch

        whole, corners = self.paste(x, step)
        seen = self.objective(whole, step, need_grad=need_grad)
        if seen.grad is None:
            return seen
        height, width = x.shape[-2:]
        grad = torch.stack(
            [g[:, top : top + height, left : left + width] for g, (top, left) in zip(seen.grad, corners, strict=True)]
        )
        return dataclasses.replace(seen, grad=grad)

    def value(self, x: torch.Tensor) -> Evaluation:
        import torch

        seen = [self.objective.value(self.paste(x, f"value {k}")[0]) for k in range(self.tries)]
        return Evaluation(torch.stack([e.loss for e in seen]).mean(0), None, sum(e.forward for e in seen), 0)

    def price(self, need_grad: bool) -> float:
        return (1 if need_grad else self.tries) * self.objective.price(need_grad)

    def rows(self, picks: Sequence[int]) -> Self:
        return dataclasses.replace(
            self,
            objective=self.objective.rows(picks),
            carriers=self.carriers[list(picks)],
            seeds=tuple(self.seeds[b] for b in picks),
        )


@dataclass
class Cycle(Objective):
    """One objective per step, in turn: surrogates as `CommonWeakness` visits them."""

    objectives: Sequence[Objective]
    fixed: bool = field(default=False, init=False)

    def __call__(self, x: torch.Tensor, step: int, *, need_grad: bool = True) -> Evaluation:
        return self.objectives[step % len(self.objectives)](x, step, need_grad=need_grad)

    def value(self, x: torch.Tensor) -> Evaluation:
        from proofglass.engine.objectives import mean_of

        return mean_of(self.objectives).value(x)

    def price(self, need_grad: bool) -> float:
        seen = self.objectives[:1] if need_grad else self.objectives
        return sum(objective.price(need_grad) for objective in seen)

    def rows(self, picks: Sequence[int]) -> Self:
        return type(self)([objective.rows(picks) for objective in self.objectives])
