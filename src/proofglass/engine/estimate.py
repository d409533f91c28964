"""Gradients from values alone: NES, SPSA and RGF. They feed any step rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from proofglass.engine.memory import NOTHING, Memory, repeated
from proofglass.engine.objectives import Evaluation, Objective, widened
from proofglass.engine.points import IMAGE, Point, named, shaped
from proofglass.engine.seeds import drawing, seed_of, stream
from proofglass.types import Cost

if TYPE_CHECKING:
    import torch


@dataclass
class Estimated(Objective):
    """The gradient of `objective` by queries, without its own.

    kind "nes": two-sided, Gaussian directions, (1/q) sum [J(x + s v) - J(x - s v)] / (2 s) v, 2 q queries (Ilyas et
    al. 2018). "spsa": the same with random signs (Spall 1992; Uesato et al. 2018). "rgf": one-sided, Gaussian,
    (1/q) sum [J(x + s v) - J(x)] / s v, q + 1 queries (Nesterov & Spokoiny 2017).
    sigma: pixel units; against a victim that takes 8-bit pictures it must be 1/255 or more. draws: q. Directions
    depend on (seeds[b], step) only. Probes are clamped to [0, 1], which a picture can hold: at the border of the box
    the estimate is biased inwards. The loss reported is J(x) for "rgf" and the mean over probes for the other two
    (which spend no query on x itself; such losses are not comparable).
    of: the variable whose gradient is estimated; others get none. An objective with a memory needs "rgf", whose look
    at x itself is the step that it remembers; probes leave no trace.
    """

    objective: Objective
    kind: Literal["nes", "spsa", "rgf"]
    sigma: float
    draws: int
    seeds: Sequence[int]
    at_once: int = 64
    of: str = IMAGE
    fixed: bool = field(init=False)
    _wide: dict[int, Objective] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in ("nes", "spsa", "rgf"):
            raise ValueError(f"kind: expected nes, spsa or rgf, found {self.kind!r}")
        if not self.sigma > 0:
            raise ValueError(f"sigma: expected more than 0 (pixels are in [0, 1]), found {self.sigma:g}")
        if self.draws < 1:
            raise ValueError(f"draws: expected at least 1, found {self.draws}")
        if self.kind != "rgf" and self.objective.memory():
            raise ValueError(
                f"kind: an objective with a memory takes 'rgf', which looks at x itself; found {self.kind!r}"
            )
        self.fixed = self.objective.fixed and self.kind == "rgf"

    def directions(self, like: torch.Tensor, seed: int, step: int) -> torch.Tensor:
        """float [draws, 3, H, W] for one picture."""
        import torch

        generator = stream(seed, self.kind, step)
        shape = (self.draws, *like.shape)
        if self.kind == "spsa":
            return (torch.randint(0, 2, shape, generator=generator) * 2 - 1).to(like)
        return torch.randn(shape, generator=generator).to(like)

    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        if not need_grad:
            return self.objective(x, step, need_grad=False, memory=memory)
        import torch

        picture, memory = named(x)[self.of], memory or self.memory()
        directions = torch.stack([self.directions(picture[b], seed, step) for b, seed in enumerate(self.seeds)])
        ahead, forward = self._probe(x, directions, step, memory, "ahead")
        if self.kind == "rgf":
            here = self.objective(x, step, need_grad=False, memory=memory)
            slopes, loss = (ahead - here.loss[:, None]) / self.sigma, here.loss
            forward, memory = forward + here.forward, here.memory
        else:
            behind, more = self._probe(x, -directions, step, memory, "behind")
            slopes, loss = (ahead - behind) / (2 * self.sigma), (ahead + behind).mean(1) / 2
            forward += more
        grad = (slopes[:, :, None, None, None] * directions).mean(1)
        return Evaluation(loss, shaped({self.of: grad}, x), forward, 0, memory)

    def _probe(
        self, x: Point, directions: torch.Tensor, step: int, memory: Memory, side: str
    ) -> tuple[torch.Tensor, int]:
        """J(x + sigma v) for every direction, float [B, draws], and the passes spent. Each probe is a query of its own,
        so whatever draws at random behind it draws anew."""
        import torch

        point = named(x)
        picture, losses, forward = point[self.of], [], 0
        for first in range(0, self.draws, self.at_once):
            some = directions[:, first : first + self.at_once]
            count = some.shape[1]
            probes = (picture[:, None] + self.sigma * some).clamp(0, 1).flatten(0, 1)
            wide = shaped(repeated(point, count) | {self.of: probes}, x)
            each = [seed_of(seed, side, first + k) for seed in self.seeds for k in range(count)]
            with drawing(each, step):
                seen = widened(self.objective, len(picture), count, self._wide)(
                    wide, step, need_grad=False, memory=repeated(memory, count)
                )
            losses.append(seen.loss.reshape(len(picture), -1))
            forward += seen.forward
        return torch.cat(losses, 1), forward

    def value(self, x: Point) -> Evaluation:
        return self.objective.value(x)

    def price(self, need_grad: bool) -> Cost:
        looks = (self.draws + 1 if self.kind == "rgf" else 2 * self.draws) if need_grad else 1
        return self.objective.price(False) * looks

    def rows(self, picks: Sequence[int]) -> Self:
        return dataclasses.replace(
            self, objective=self.objective.rows(picks), seeds=tuple(self.seeds[b] for b in picks)
        )

    def memory(self) -> Memory:
        return self.objective.memory()
