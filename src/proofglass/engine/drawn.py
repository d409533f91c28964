"""Which random draws a step is evaluated at: said once, around the objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from proofglass.engine.objectives import Evaluation, Objective
from proofglass.engine.seeds import drawing

if TYPE_CHECKING:
    import torch


@dataclass
class Drawn(Objective):
    """`objective`, with what lies behind it (a defense that draws at random) drawing from (seeds[b], step) for picture
    b: batches and resumes change no draw. The value of the whole has draws of its own, the same for every
    picture it is asked about, so that a picture and its rounded form are compared alike."""

    objective: Objective
    seeds: Sequence[int]

    def __post_init__(self) -> None:
        self.fixed = self.objective.fixed

    @property
    def plain(self) -> bool:
        return self.objective.plain

    def __call__(self, x: torch.Tensor, step: int, *, need_grad: bool = True) -> Evaluation:
        with drawing(self.seeds, step):
            return self.objective(x, step, need_grad=need_grad)

    def value(self, x: torch.Tensor) -> Evaluation:
        with drawing(self.seeds, "value"):
            return self.objective.value(x)

    def rows(self, picks: Sequence[int]) -> Self:
        return type(self)(self.objective.rows(picks), tuple(self.seeds[b] for b in picks))

    def price(self, need_grad: bool) -> float:
        return self.objective.price(need_grad)

    def memory(self) -> dict[str, torch.Tensor]:
        return self.objective.memory()

    def recall(self, memory: dict[str, torch.Tensor]) -> None:
        self.objective.recall(memory)
