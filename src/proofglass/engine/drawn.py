"""Which random draws a step is evaluated at: said once, around the objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from proofglass.engine.memory import NOTHING, Memory
from proofglass.engine.objectives import Evaluation, Objective
from proofglass.engine.points import Point
from proofglass.engine.seeds import drawing
from proofglass.types import Cost


@dataclass
class Drawn(Objective):
    """`objective`, with what lies behind it (a defense that draws at random) drawing from (seeds[b], step) for picture
    b: batches and resumes change no draw. The value of the whole has draws of its own, the same for every picture it
    is asked about, so that a picture and its rounded form are compared alike."""

    objective: Objective
    seeds: Sequence[int]

    def __post_init__(self) -> None:
        self.fixed = self.objective.fixed

    @property
    def plain(self) -> bool:
        return self.objective.plain

    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        with drawing(self.seeds, step):
            return self.objective(x, step, need_grad=need_grad, memory=memory)

    def value(self, x: Point) -> Evaluation:
        with drawing(self.seeds, "value"):
            return self.objective.value(x)

    def rows(self, picks: Sequence[int]) -> Self:
        return type(self)(self.objective.rows(picks), tuple(self.seeds[b] for b in picks))

    def price(self, need_grad: bool) -> Cost:
        return self.objective.price(need_grad)

    def memory(self) -> Memory:
        return self.objective.memory()
