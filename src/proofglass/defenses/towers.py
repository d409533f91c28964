"""What defenses that harden a vision tower share: pictures to learn from, the worst ones near them, and a lesson.

The tower learns from pictures that projected gradient ascent finds for it anew at every step, in the one loop that all
attacks use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from proofglass.defenses.tuning import Lesson, Rows, micro
from proofglass.engine.constraints import LInf, check_epsilon
from proofglass.engine.learning import drawn
from proofglass.engine.minimise import minimise
from proofglass.engine.objectives import Differentiable, negated
from proofglass.engine.progress import watched_by
from proofglass.engine.schedule import Schedule
from proofglass.engine.seeds import seed_of
from proofglass.engine.steps import MomentumStep, check_size
from proofglass.errors import ZeroGradient
from proofglass.interfaces import Layer, TowerLearner
from proofglass.types import Image, Sample

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[["Tensor", Sequence[int]], "Tensor"]
"""(features of some pictures, which of the pictures that it was made for they are) -> the loss of each, [n]."""
T = TypeVar("T")


@dataclass(frozen=True)
class Ball:
    """Where the worst picture is looked for: at most `epsilon` from the clean one in every value, in `steps` steps of
    `size` along the sign of a gradient with momentum .9, from a random point. epsilon 0: it is the clean one.

    Raises ValueError for an epsilon or a size that are given in grey levels.
    """

    epsilon: float
    steps: int
    size: float

    def __post_init__(self) -> None:
        if self.epsilon:
            check_epsilon(self.epsilon)
        check_size(self.size, "step_size")

    def worst(self, learner: TowerLearner, layer: Layer, loss: Loss, x: Tensor, seeds: Sequence[int]) -> Tensor:
        """The pictures around `x` [B, 3, H, W] at which `loss` is largest, of those that are found: the last ones."""
        if not self.epsilon:
            return x
        ascent = negated(Differentiable(lambda at, rows: loss(learner.features(at, layer), rows), len(x)))
        how: dict[str, Any] = {"constraint": LInf(self.epsilon), "step": MomentumStep(self.size, 0.9, "sign")}
        with watched_by(lambda pace: None):  # the steps that are told are those of the training
            try:
                return minimise(ascent, x, schedule=Schedule(self.steps), seed=seeds, **how).x
            except ZeroGradient:  # nowhere to go from any of the random points: they are what was found
                return minimise(ascent, x, schedule=Schedule(0), seed=seeds, **how).x


@dataclass(frozen=True)
class Hardening(Generic[T]):
    """How a tower learns: `steps` steps of `batch` rows, `warm_up` of them to its full rate, each row's loss of what
    `layer` makes of the worst picture in its `ball`.

    image: the picture of a row. loss: (rows, their clean pixels) -> their `Loss`.
    """

    ball: Ball
    layer: Layer
    batch: int
    steps: int
    warm_up: int
    seed: int
    image: Callable[[T], Image]
    loss: Callable[[Sequence[T], Tensor], Loss]

    def lesson(self, learner: TowerLearner, rows: Rows[T], content: str, told: dict[str, Any]) -> Lesson:
        """The mean over the rows of a step. A row is numbered anew in each pass over all, so that the random point at
        which its ascent begins is another one each time and yet a function of its number."""
        count = len(rows)

        def picks(step: int) -> list[int]:
            places = range(step * self.batch, (step + 1) * self.batch)
            chosen = drawn(self.seed, step, self.batch, count)
            return [place // count * count + row for place, row in zip(places, chosen, strict=True)]

        def parts(numbers: Sequence[int]) -> Iterator[Tensor]:
            for some, x in self._alike(learner, rows, numbers):
                loss = self.loss([rows.taken[k % count] for k in some], x)
                seeds = [seed_of(self.seed, "start", k) for k in some]
                worst = self.ball.worst(learner, self.layer, loss, x, seeds)
                found = loss(learner.features(worst, self.layer), range(len(some)))
                yield found.sum() / len(numbers)

        names = _Again([sample.id for sample in rows.samples])
        return Lesson(self.steps, self.warm_up, picks, parts, names, content, told)

    def _alike(
        self, learner: TowerLearner, rows: Rows[T], numbers: Sequence[int]
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Rows whose pictures are of one size, as many as one pass holds, and their pixels."""
        import torch

        sizes: dict[tuple[int, ...], list[tuple[int, Tensor]]] = {}
        for k in numbers:
            x = learner.pixels(self.image(rows.taken[k % len(rows)]))
            sizes.setdefault(tuple(x.shape), []).append((k, x))
        for same in sizes.values():
            for at in micro(range(len(same)), learner.micro):
                yield [same[k][0] for k in at], torch.cat([same[k][1] for k in at])


class _Again(Sequence[str]):
    """Names over and over: that of row k of all passes is that of row k of the first."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:  # that of a Sequence would ask for the next one for ever
        return iter(self.names)

    def __getitem__(self, k: Any) -> Any:
        return self.names[k % len(self.names)]


def first_picture(learner: TowerLearner, sample: Sample) -> Image:
    """The first picture of the row's dialogue, which the tower can be shown. Raises ValueError or ImageError."""
    if not sample.chat.images:
        raise ValueError("chat: expected a picture, found none")
    image: Image = sample.chat.images[0]
    learner.pixels(image)
    return image
