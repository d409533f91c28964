"""The step rule of Auto-PGD (Croce & Hein 2020, algorithm 1): the step size halves where progress stalls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proofglass.engine.points import wide
from proofglass.engine.steps import Iterate, State, unit

if TYPE_CHECKING:
    import torch


def checks(steps: int) -> tuple[int, ...]:
    """Iterations (1-based) after which the step size may halve, as the authors' code lists them.

    The paper's own recursion on fractions gives the same list for 100, 500, 1000, 5000 and 10,000 steps and another
    one for small numbers such as 50; the code is followed.
    """
    window, least, shrink = max(int(0.22 * steps), 1), max(int(0.06 * steps), 1), max(int(0.03 * steps), 1)
    found: list[int] = []
    at = window
    while at <= steps:
        found.append(at)
        window = max(window - shrink, least)
        at += window
    return tuple(found)


@dataclass(frozen=True)
class APGDStep:
    """z = P(x - eta g'), x+ = P(x + a (z - x) + (1 - a)(x - x_prev)), a = 1 at first, then 0.75.

    size: the first eta (2 epsilon in the paper, 1 epsilon in RobustVLM). g' = sign(g) for "linf", g / ||g||_2 for
    "l2". At a check, eta halves and the search goes on from the best iterate if (1) at most `rho` of the steps since
    the last check lowered the loss, or (2) the last check did not halve and the best loss has not fallen since.
    x_prev is not reset by that, as in the code. One departure: the first comparison is with the loss at the start, as
    the paper says; the code reads an unfilled cell there. Every quantity is per picture.
    """

    size: float
    norm: Literal["linf", "l2"] = "linf"
    rho: float = 0.75
    momentum: float = 0.75
    needs_grad = True

    def __post_init__(self) -> None:
        if not self.size > 0:
            raise ValueError(f"step_size: expected more than 0, found {self.size:g}")

    def init(self, x: torch.Tensor) -> State:
        import torch

        def scalars(value: float) -> torch.Tensor:
            return x.new_full((len(x),), value)

        return {
            "previous": x.clone(),
            "best": x.clone(),
            "best_grad": torch.zeros_like(x),
            "best_loss": scalars(float("inf")),
            "last_loss": scalars(float("inf")),
            "checked_loss": scalars(float("inf")),
            "eta": scalars(self.size),
            "falls": scalars(0),
            "halved": scalars(1),
        }

    def __call__(self, at: Iterate, state: State) -> tuple[torch.Tensor, State]:
        seen = self._judge(at, self._see(at, state))
        x, grad, s = seen
        eta = wide(s["eta"], x)
        direction = grad.sign() if self.norm == "linf" else unit(grad)
        z = at.project(x - eta * direction)
        a = 1.0 if at.step == 0 else self.momentum
        moved = at.project(x + a * (z - x) + (1 - a) * (x - s["previous"]))
        return moved, s | {"previous": x}

    def _see(self, at: Iterate, s: State) -> State:
        """Note the loss of this iterate: whether it fell, and whether it is the best so far."""
        better = at.loss < s["best_loss"]
        lower = wide(better, at.x)
        fell = s["falls"] + (at.loss < s["last_loss"]).to(at.loss.dtype) if at.step else s["falls"]
        new = {
            "falls": fell,
            "best": at.x.where(lower, s["best"]),
            "best_grad": at.grad.where(lower, s["best_grad"]),
            "best_loss": at.loss.where(better, s["best_loss"]),
            "last_loss": at.loss,
        }
        return s | new | ({"checked_loss": at.loss} if at.step == 0 else {})

    def _judge(self, at: Iterate, s: State) -> tuple[torch.Tensor, torch.Tensor, State]:
        """At a check: halve and go back to the best, per picture. Returns x, gradient, state."""
        import torch

        when = (0, *checks(at.steps))
        if at.step == 0 or at.step not in when:
            return at.x, at.grad, s
        window = at.step - when[when.index(at.step) - 1]
        stalls = s["falls"] <= self.rho * window
        stuck = (s["halved"] == 0) & (s["best_loss"] >= s["checked_loss"])
        halve = stalls | stuck
        back = wide(halve, at.x)
        new = {
            "eta": torch.where(halve, s["eta"] / 2, s["eta"]),
            "halved": halve.to(s["eta"].dtype),
            "checked_loss": s["best_loss"],
            "falls": torch.zeros_like(s["falls"]),
        }
        return s["best"].where(back, at.x), s["best_grad"].where(back, at.grad), s | new
