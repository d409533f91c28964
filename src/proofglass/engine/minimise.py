"""The only pixel loop of Proofglass."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from proofglass.engine.objectives import Objective
from proofglass.engine.progress import report
from proofglass.types import Cost, Image

if TYPE_CHECKING:
    import torch

# A picture whose gradient stays non-finite for so many steps has left what its model can compute.
NONFINITE_PATIENCE = 5


class Constraint(Protocol):
    def begin(self, x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor: ...

    def project(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor: ...


class Step(Protocol):
    def init(self, x: torch.Tensor) -> Any: ...

    def __call__(self, x: torch.Tensor, grad: torch.Tensor, state: Any, scale: float) -> tuple[torch.Tensor, Any]: ...


@dataclass(frozen=True)
class Schedule:
    """steps: number of updates. decay: factor on the step size, "constant" or "cosine" (1 at the first step,
    towards 0 after the last)."""

    steps: int
    decay: Literal["constant", "cosine"] = "constant"

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps: expected 0 or more, found {self.steps}")

    def scale(self, step: int) -> float:
        return 1.0 if self.decay == "constant" else 0.5 * (1 + math.cos(math.pi * step / self.steps))


@dataclass(frozen=True)
class Found:
    """What `minimise` returns.

    x: float32 [B, 3, H, W], not yet rounded. loss: float [B], the objective at x. losses: mean loss of the batch
    of pictures at each iterate, the start included (of a sampled objective: of that step's draw).
    before_rounding, after_rounding: the whole objective at x and at its 8-bit picture, mean over pictures.
    nonfinite: steps with a non-finite gradient, over all pictures. stopped: why it ended before its schedule.
    """

    x: torch.Tensor
    loss: torch.Tensor
    losses: tuple[float, ...]
    before_rounding: float
    after_rounding: float
    cost: Cost
    nonfinite: int = 0
    stopped: str = ""

    def images(self) -> list[Image]:
        """The pictures found, 8-bit: what is saved and judged."""
        return quantise(self.x)

    @property
    def trace(self) -> dict[str, Any]:
        """JSON-able summary for an `Artefact`."""
        return {
            "loss": [round(value, 6) for value in self.losses],
            "loss_before_rounding": self.before_rounding,
            "loss_after_rounding": self.after_rounding,
            "steps": len(self.losses) - 1,
            "nonfinite_steps": self.nonfinite,
            "stopped": self.stopped,
        }


def minimise(
    objective: Objective,
    x0: torch.Tensor,
    *,
    constraint: Constraint,
    step: Step,
    schedule: Schedule,
    seed: int = 0,
    budget: int | None = None,
    select: Literal["last", "best"] = "last",
) -> Found:
    """Minimise `objective` over pictures, starting at `x0`, which is never changed.

    x0: float32 [B, 3, H, W] in [0, 1]; the B pictures are independent of each other.
    seed: of the random start; row b draws from its own stream, so a batch equals its single runs.
    budget: cap on forward equivalents per picture (forward + 2 x backward); the loop stops before it is passed.
    select: "last" iterate, or "best" loss of each picture (the last iterate is evaluated too); a sampled
    objective has no comparable losses and must use "last" (ValueError).
    The loss and the iterate that a selector sees belong together: x_i is judged by J(x_i), never by J(x_{i-1}).
    Source: Madry et al. 2018, section 2.1; rounding as in torchvision's save_image.
    """
    import torch

    if select == "best" and not objective.fixed:
        raise ValueError("select: a sampled objective has no comparable losses; use 'last'")
    if x0.ndim != 4 or x0.shape[1] != 3:
        raise ValueError(f"x0: expected shape [B, 3, H, W], found {list(x0.shape)}")
    if float(x0.min()) < 0 or float(x0.max()) > 1:
        raise ValueError(f"x0: expected values in [0, 1], found [{float(x0.min()):.3f}, {float(x0.max()):.3f}]")

    began = time.perf_counter()
    x0 = x0.detach().float()
    x = constraint.begin(x0, _start_noise(x0, seed))
    state = step.init(x)
    best_x, best_loss = x.clone(), torch.full((len(x0),), math.inf, device=x0.device)
    alive = torch.ones(len(x0), dtype=torch.bool, device=x0.device)
    strikes = torch.zeros(len(x0), dtype=torch.long, device=x0.device)
    losses: list[float] = []
    forward = backward = nonfinite = 0
    stopped = ""
    for i in range(schedule.steps):
        seen = objective(x, i)
        assert seen.grad is not None
        forward, backward = forward + seen.forward, backward + seen.backward
        losses.append(float(seen.loss.mean()))
        best_x, best_loss = _keep_best(best_x, best_loss, x, seen.loss)
        finite = torch.isfinite(seen.grad).flatten(1).all(1)
        nonfinite += int((~finite).sum())
        strikes = torch.where(finite, 0, strikes + 1)
        alive &= strikes < NONFINITE_PATIENCE
        grad = torch.nan_to_num(seen.grad, 0.0, 0.0, 0.0)
        moved, state = step(x, grad, state, schedule.scale(i))
        # A picture that was given up stays where it is; the others go on.
        x = torch.where(alive[:, None, None, None], constraint.project(moved, x0), x).detach()
        report(i + 1, schedule.steps, losses[-1])
        if not bool(alive.any()):
            stopped = f"gradient not finite for {NONFINITE_PATIENCE} steps"
            break
        spent = (seen.forward + 2 * seen.backward) / len(x0)
        if budget is not None and (i + 2) * spent > budget:
            stopped = f"budget of {budget} forward equivalents per picture spent"
            break

    end = objective.value(x)
    forward += end.forward
    losses.append(float(end.loss.mean()))
    best_x, best_loss = _keep_best(best_x, best_loss, x, end.loss)
    if select == "best":
        x, loss = best_x, best_loss
    else:
        loss = end.loss
    rounded = objective.value(torch.floor(x * 255 + 0.5).clamp(0, 255) / 255)
    forward += rounded.forward
    cost = Cost(forward=forward, backward=backward, seconds=time.perf_counter() - began)
    return Found(x, loss, tuple(losses), float(loss.mean()), float(rounded.loss.mean()), cost, nonfinite, stopped)


def quantise(x: torch.Tensor) -> list[Image]:
    """8-bit pictures of `x`, float [B, 3, H, W] in [0, 1]: floor(255 x + 0.5), clipped.

    Rounds half up: truncation would leave the epsilon ball by one grey level.
    """
    import numpy as np

    levels = np.floor(x.detach().cpu().double().numpy() * 255 + 0.5).clip(0, 255).astype(np.uint8)
    return [Image.from_array(picture.transpose(1, 2, 0)) for picture in levels]


def _start_noise(x0: torch.Tensor, seed: int) -> torch.Tensor:
    """Uniform in [0, 1), row by row from its own stream, on the CPU so that every device starts alike."""
    import torch

    rows = []
    for row in range(len(x0)):
        stream = torch.Generator().manual_seed((seed * 1_000_003 + row) % 2**63)
        rows.append(torch.rand(x0.shape[1:], generator=stream))
    return torch.stack(rows).to(x0.device)


def _keep_best(
    best_x: torch.Tensor, best_loss: torch.Tensor, x: torch.Tensor, loss: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    better = loss < best_loss
    return torch.where(better[:, None, None, None], x, best_x), torch.where(better, loss, best_loss)
