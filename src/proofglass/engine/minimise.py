"""Minimise an objective over pictures: any constraint, step rule, schedule and selector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proofglass.engine import seeds
from proofglass.engine.constraints import Constraint
from proofglass.engine.drawn import Drawn
from proofglass.engine.found import Found
from proofglass.engine.loop import Run, Select
from proofglass.engine.objectives import Objective
from proofglass.engine.schedule import Check, Schedule
from proofglass.engine.steps import Step

if TYPE_CHECKING:
    import torch


def minimise(
    objective: Objective,
    x0: torch.Tensor,
    *,
    constraint: Constraint,
    step: Step,
    schedule: Schedule,
    seed: int | Sequence[int] = 0,
    budget: float | None = None,
    select: Select = "last",
    check: Check | None = None,
    start: torch.Tensor | None = None,
) -> Found:
    """Minimise `objective` over pictures, starting at `x0`, which is never changed.

    x0: float32 [B, 3, H, W] in [0, 1]; the B pictures are independent of each other, and a batch equals its single
    runs as far as the objective's rows do: a model may round otherwise in another batch, most of all in half precision.
    seed: of random starts and draws, one for all (row b then uses (seed, b)) or one per picture.
    budget: cap per picture on forward + 2 x backward passes + queries of the check, over all restarts; the loop stops
    before it is passed, with enough left to judge its last iterate. A picture whose budget does not pay a first step
    keeps its start, at which nobody looks. `types.Seconds` caps the wall time instead, which another run will not
    reproduce.
    select: the "last" iterate, the "best" loss of each picture (the last iterate is evaluated too), or the best
    "checked" score (the first of equals). A sampled objective has no comparable losses: "best" raises ValueError.
    A picture that its check calls finished keeps the iterate that was checked.
    start: shaped as x0, first iterate in place of the constraint's own, projected into the set around x0 (a later pass
    that goes on from an earlier one). Restarts after the first begin as the constraint says.
    The loss and the iterate that a selector sees belong together: x_i is judged by J(x_i), never by J(x_{i-1}).
    Raises ZeroGradient if the first gradient of every picture is zero: nothing could be learnt from it.
    Source: Madry et al. 2018, section 2.1; rounding as in torchvision's save_image.
    """
    _check(objective, x0, select, check)
    x0 = x0.detach().float()
    whole = [seeds.seed_of(seed, b) for b in range(len(x0))] if isinstance(seed, int) else list(seed)
    if len(whole) != len(x0):
        raise ValueError(f"seed: expected one seed or {len(x0)}, found {len(whole)}")
    if start is not None:
        start = constraint.project(start.detach().to(x0), x0)
    run = Run(Drawn(objective, whole), x0, constraint, step, schedule, tuple(whole), budget, select, check, start)
    return run.finish()


def _check(objective: Objective, x0: torch.Tensor, select: Select, check: Check | None) -> None:
    if select not in ("last", "best", "checked"):
        raise ValueError(f"select: expected last, best or checked, found {select!r}")
    if select == "best" and not objective.fixed:
        raise ValueError("select: a sampled objective has no comparable losses; use 'last'")
    if select == "checked" and check is None:
        raise ValueError("select: 'checked' needs a check")
    if x0.ndim != 4 or x0.shape[1] != 3:
        raise ValueError(f"x0: expected shape [B, 3, H, W], found {list(x0.shape)}")
    if not (float(x0.min()) >= 0 and float(x0.max()) <= 1):  # NaN too
        raise ValueError(f"x0: expected values in [0, 1], found [{float(x0.min()):.3f}, {float(x0.max()):.3f}]")
