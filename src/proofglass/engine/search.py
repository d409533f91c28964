"""Search without gradients: the Square attack's random search as a step rule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.engine.constraints import check_epsilon
from proofglass.engine.seeds import stream
from proofglass.engine.steps import Iterate, State

if TYPE_CHECKING:
    import torch

# Scaled iteration (of 10,000) up to which the share of changed pixels is divided by so much (the authors' code).
_HALVINGS = ((10, 1), (50, 2), (200, 4), (500, 8), (1000, 16), (2000, 32), (4000, 64), (6000, 128), (8000, 256))


@dataclass(frozen=True)
class SquareStep:
    """Andriushchenko et al. 2020, the l-infinity Square attack: flip a random square to +-epsilon, keep what helps.

    Every iterate is a proposal made from the best picture so far, so one step is one query; the minimiser keeps the
    best (`select="best"`). p_init: share of pixels changed at first (0.8 is AutoAttack's, 0.05 the authors' default).
    The start is vertical stripes x0 +- epsilon.
    As in the code, a corner is drawn below H - side, so that no square touches the last row and column.
    Departures: the target loss replaces the classifier's margin; a proposal must lower it strictly.
    """

    epsilon: float
    p_init: float = 0.8
    needs_grad = False

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        if not 0 < self.p_init <= 1:
            raise ValueError(f"p_init: expected 0 < p_init <= 1, found {self.p_init:g}")

    def share(self, step: int, steps: int) -> float:
        """Share p of the pixels that proposal `step` changes."""
        scaled = int(step / steps * 10_000)
        return self.p_init / next((divisor for until, divisor in _HALVINGS if scaled <= until), 512)

    def side(self, step: int, steps: int, height: int, width: int) -> int:
        """Side of the square, in pixels."""
        return min(max(round(math.sqrt(self.share(step, steps) * height * width)), 1), min(height, width))

    def init(self, x: torch.Tensor) -> State:
        return {"best": x.clone(), "best_loss": x.new_full((len(x),), float("inf"))}

    def __call__(self, at: Iterate, state: State) -> tuple[torch.Tensor, State]:
        # The stripes (step 1) are the search's start: they replace the clean picture whatever their loss.
        better = (at.loss < state["best_loss"]) | (at.step == 1)
        best = at.x.where(better[:, None, None, None], state["best"])
        kept = {"best": best, "best_loss": at.loss.where(better, state["best_loss"])}
        return (self._stripes(at) if at.step == 0 else self._squares(at, best)), kept

    def _stripes(self, at: Iterate) -> torch.Tensor:
        """x0 +- epsilon, one sign per channel and column."""
        import torch

        x = at.x0.clone()
        for b, seed in enumerate(at.seeds):
            signs = torch.randint(0, 2, (3, 1, x.shape[3]), generator=stream(seed, "stripes")) * 2 - 1
            x[b] += self.epsilon * signs.to(x)
        return at.project(x)

    def _squares(self, at: Iterate, best: torch.Tensor) -> torch.Tensor:
        import torch

        height, width = best.shape[-2:]
        side = self.side(at.step - 1, max(at.steps - 1, 1), height, width)
        x = best.clone()
        for b, seed in enumerate(at.seeds):
            draws = stream(seed, "square", at.step)
            row, column = (int(torch.rand((), generator=draws) * (size - side)) for size in (height, width))
            signs = torch.randint(0, 2, (3, 1, 1), generator=draws) * 2 - 1
            x[b, :, row : row + side, column : column + side] += 2 * self.epsilon * signs.to(x)
        return at.project(x)
