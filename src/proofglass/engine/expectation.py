"""Expectations: objectives averaged over transforms, patch places or surrogates, drawn anew at every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from proofglass.engine.memory import NOTHING, Memory, joined, part, repeated
from proofglass.engine.objectives import Evaluation, Objective, mean_of, widened
from proofglass.engine.pasting import cut, paste
from proofglass.engine.points import IMAGE, Point, named, shaped
from proofglass.engine.seeds import drawing, seed_of, stream
from proofglass.types import Cost

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
    is zero there. at_once: draws per pass (memory). of: the variable that is transformed; others are the same for all
    draws. The value of the whole is that of the untransformed picture. Where `objective` remembers something, each of
    the draws has a memory of its own.
    """

    objective: Objective
    transform: Transform
    draws: int
    seeds: Sequence[int]
    through: bool = False
    at_once: int = 20
    of: str = IMAGE
    fixed: bool = field(default=False, init=False)
    _wide: dict[int, Objective] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        import torch

        point, memory = named(x), memory or self.memory()
        picture, count = point[self.of], len(point[self.of])
        total = {name: torch.zeros_like(tensor) for name, tensor in point.items()} if need_grad else {}
        loss = torch.zeros(count, device=picture.device)
        forward = backward = 0
        remembered: list[Memory] = []
        for first in range(0, self.draws, self.at_once):
            some = min(self.at_once, self.draws - first)
            drawn = [
                [self.transform.draw(picture[b], stream(seed, "transform", step, first + k)) for k in range(some)]
                for b, seed in enumerate(self.seeds)
            ]
            many = torch.stack([self.transform.apply(picture[b], d) for b in range(count) for d in drawn[b]])
            wide = shaped(repeated(point, some) | {self.of: many.clamp(0, 1)}, x)
            kept = {name: t[:, first : first + some].flatten(0, 1) for name, t in memory.items()}
            each = [seed_of(seed, "transform", first + k) for seed in self.seeds for k in range(some)]
            with drawing(each, step):
                seen = widened(self.objective, count, some, self._wide)(wide, step, need_grad=need_grad, memory=kept)
            forward, backward = forward + seen.forward, backward + seen.backward
            loss += seen.loss.reshape(count, some).sum(1) / self.draws
            remembered.append({name: t.reshape(count, some, *t.shape[1:]) for name, t in seen.memory.items()})
            if seen.grad is not None:
                self._add(total, named(seen.grad), many, drawn)
        after = {name: torch.cat([some[name] for some in remembered], 1) for name in memory}
        return Evaluation(loss, shaped(total, x) if need_grad else None, forward, backward, after)

    def _add(
        self,
        total: dict[str, torch.Tensor],
        grads: dict[str, torch.Tensor],
        many: torch.Tensor,
        drawn: Sequence[Sequence[Any]],
    ) -> None:
        """Add the gradients of these draws, each row of `total` standing `len(drawn[0])` times in `grads`."""
        count, some = len(drawn), len(drawn[0])
        for name, found in grads.items():
            inside = found * ((many >= 0) & (many <= 1)) if name == self.of else found
            grad = inside.reshape(count, some, *found.shape[1:])
            for b in range(count):
                for k in range(some):
                    through = self.through and name == self.of
                    here = self.transform.adjoint(grad[b, k], drawn[b][k]) if through else grad[b, k]
                    total[name][b] += here / self.draws

    def value(self, x: Point) -> Evaluation:
        return self.objective.value(x)

    def price(self, need_grad: bool) -> Cost:
        return self.objective.price(need_grad) * (self.draws if need_grad else 1)

    def rows(self, picks: Sequence[int]) -> Self:
        return dataclasses.replace(
            self, objective=self.objective.rows(picks), seeds=tuple(self.seeds[b] for b in picks)
        )

    def memory(self) -> Memory:
        whole = self.objective.memory()
        return {name: t.reshape(-1, self.draws, *t.shape[1:]) for name, t in repeated(whole, self.draws).items()}


@dataclass
class Placed(Objective):
    """A patch pasted at a random place of a carrier picture, anew at every step (moving patch, Bailey et al. 2023).

    The variable `of` is the patch, [B, 3, h, w]. carriers: float32 [B, 3, H, W]. Places are uniform over all that fit
    and depend on (seeds[b], step) only. `value` is the mean over `tries` fixed places.
    """

    objective: Objective
    carriers: torch.Tensor
    seeds: Sequence[int]
    tries: int = 4
    of: str = IMAGE
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
        corners = [self.place(seed, step, *patch.shape[-2:]) for seed in self.seeds]
        return paste(self.carriers, patch, corners), corners

    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        point = named(x)
        whole, corners = self.paste(point[self.of], step)
        seen = self.objective(shaped(point | {self.of: whole}, x), step, need_grad=need_grad, memory=memory)
        if seen.grad is None:
            return seen
        grads = named(seen.grad)
        size = point[self.of].shape[-2:]
        return dataclasses.replace(seen, grad=shaped(grads | {self.of: cut(grads[self.of], corners, *size)}, x))

    def value(self, x: Point) -> Evaluation:
        import torch

        point = named(x)
        pasted = [self.paste(point[self.of], f"value {k}")[0] for k in range(self.tries)]
        seen = [self.objective.value(shaped(point | {self.of: whole}, x)) for whole in pasted]
        return Evaluation(torch.stack([e.loss for e in seen]).mean(0), None, sum(e.forward for e in seen), 0)

    def price(self, need_grad: bool) -> Cost:
        return self.objective.price(need_grad) * (1 if need_grad else self.tries)

    def rows(self, picks: Sequence[int]) -> Self:
        return dataclasses.replace(
            self,
            objective=self.objective.rows(picks),
            carriers=self.carriers[list(picks)],
            seeds=tuple(self.seeds[b] for b in picks),
        )

    def memory(self) -> Memory:
        return self.objective.memory()


@dataclass
class Cycle(Objective):
    """One objective per step, in turn: surrogates as `CommonWeakness` visits them. Each remembers its own steps."""

    objectives: Sequence[Objective]
    fixed: bool = field(default=False, init=False)

    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        turn, memory = step % len(self.objectives), memory or self.memory()
        parts = [part(memory, k) for k in range(len(self.objectives))]
        seen = self.objectives[turn](x, step, need_grad=need_grad, memory=parts[turn])
        parts[turn] = seen.memory
        return dataclasses.replace(seen, memory=joined(parts))

    def value(self, x: Point) -> Evaluation:
        return mean_of(self.objectives).value(x)

    def price(self, need_grad: bool) -> Cost:
        seen = self.objectives[:1] if need_grad else self.objectives
        return sum((objective.price(need_grad) for objective in seen), Cost())

    def rows(self, picks: Sequence[int]) -> Self:
        return type(self)([objective.rows(picks) for objective in self.objectives])

    def memory(self) -> Memory:
        return joined([objective.memory() for objective in self.objectives])
