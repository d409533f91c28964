"""How each variable of a search moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.engine.constraints import Constraint, Rounds
from proofglass.engine.points import is_picture
from proofglass.engine.rounding import nearest
from proofglass.engine.steps import Step

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class On:
    """One variable: where it may lie, how it steps, in which direction and when.

    ascends: it climbs, against all others: the second player of a game. (A search with one variable that shall climb
    takes the negated objective.) at: the steps (0-based) at which it moves, None: all; `range(10, 1000, 10)`.
    All variables move at once, from the losses and gradients of the same iterates.
    """

    constraint: Constraint
    step: Step
    ascends: bool = False
    at: Sequence[int] | None = None

    def turn(self, step: int, steps: int) -> tuple[int, int] | None:
        """Which of its moves it makes at `step` of `steps`, and how many they are; None: it stays."""
        if self.at is None:
            return step, steps
        return (self.at.index(step), len(self.at)) if step in self.at else None


def levels_of(
    x: Mapping[str, torch.Tensor], clean: Mapping[str, torch.Tensor], moves: Mapping[str, On]
) -> dict[str, torch.Tensor]:
    """The 8-bit pictures of `x`, uint8, inside the constraints around those of `clean`; no other variables."""
    found = {}
    for name in filter(is_picture, x):
        on = moves[name].constraint
        found[name] = (on.rounded(x[name], clean[name]) if isinstance(on, Rounds) else nearest(x[name])).byte()
    return found
