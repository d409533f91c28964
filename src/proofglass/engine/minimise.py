"""Minimise an objective over pictures, or over several variables: any constraint, step rule, schedule and selector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, overload

from proofglass.engine import seeds
from proofglass.engine.constraints import Constraint
from proofglass.engine.descent import Descent, Select
from proofglass.engine.drawn import Drawn
from proofglass.engine.found import Found
from proofglass.engine.objectives import Objective
from proofglass.engine.points import IMAGE, Point, is_picture, named
from proofglass.engine.schedule import Check, Schedule
from proofglass.engine.steps import Step
from proofglass.engine.variables import On
from proofglass.types import Budget

if TYPE_CHECKING:
    import torch


@overload
def minimise(
    objective: Objective,
    x0: torch.Tensor,
    moves: None = None,
    *,
    constraint: Constraint,
    step: Step,
    schedule: Schedule,
    seed: int | Sequence[int] = 0,
    budget: Budget | None = None,
    select: Select = "last",
    check: Check | None = None,
    start: torch.Tensor | None = None,
) -> Found: ...


@overload
def minimise(
    objective: Objective,
    x0: Mapping[str, torch.Tensor],
    moves: Mapping[str, On],
    *,
    schedule: Schedule,
    seed: int | Sequence[int] = 0,
    budget: Budget | None = None,
    select: Select = "last",
    check: Check | None = None,
    start: Mapping[str, torch.Tensor] | None = None,
) -> Found: ...


def minimise(
    objective: Objective,
    x0: Point,
    moves: Mapping[str, On] | None = None,
    *,
    constraint: Constraint | None = None,
    step: Step | None = None,
    schedule: Schedule,
    seed: int | Sequence[int] = 0,
    budget: Budget | None = None,
    select: Select = "last",
    check: Check | None = None,
    start: Point | None = None,
) -> Found:
    """Minimise `objective`, starting at `x0`, which is never changed.

        minimise(J, x0, constraint=LInf(e), step=SignStep(a), schedule=Schedule(100))
        minimise(J, {"image": x0, "prompt": p0},
                 {"image": On(LInf(e), SignStep(a)), "prompt": On(Between(-r, r), SignStep(b), ascends=True)}, ...)

    x0: a picture per row, float32 [B, 3, H, W] in [0, 1]; or variables by name, batch first. Names that begin with
    "image" are pictures (the victim's slots: "image", "image2", ...), are checked as such and end as 8-bit ones;
    others are any floats. The objective is asked in the form of x0. The B rows are independent of each other, and a
    batch equals its single runs as far as the objective's rows do: a model may round otherwise in another batch, most
    of all in half precision.
    moves: how each variable moves; one picture takes `constraint` and `step` instead.
    seed: of random starts and draws, one for all (row b then uses (seed, b)) or one per picture.
    budget: cap per picture, over all restarts; the loop stops before it is passed, with enough left to judge its last
    iterate. A picture whose budget does not pay a first step keeps its start, at which nobody looks. (One in seconds
    ends with the step that passes it, and another run will not reproduce it.)
    select: the "last" iterate, the "best" loss of each picture (the last iterate is evaluated too), or the best
    "checked" score (the first of equals). A sampled objective has no comparable losses: "best" raises ValueError.
    A picture that its check calls finished keeps the iterate that was checked.
    start: in the form of x0, first iterate in place of the constraints' own, projected into the sets around x0 (a later
    pass that goes on from an earlier one). Restarts after the first begin as the constraints say.
    The loss and the iterate that a selector sees belong together: x_i is judged by J(x_i), never by J(x_{i-1}).
    Raises ZeroGradient if the first gradient of every picture is zero: nothing could be learnt from it.
    Source: Madry et al. 2018, section 2.1; rounding as in torchvision's save_image.
    """
    if isinstance(x0, Mapping) != (moves is not None) or (moves is None and not (constraint and step)):
        raise ValueError("x0: expected one picture with `constraint` and `step`, or variables by name with `moves`")
    if moves is None:
        assert constraint is not None
        assert step is not None
        moves = {IMAGE: On(constraint, step)}
    given = {name: tensor.detach().float() for name, tensor in named(x0).items()}
    _check(objective, given, moves, select, check)
    count = len(next(iter(given.values())))
    whole = [seeds.seed_of(seed, b) for b in range(count)] if isinstance(seed, int) else list(seed)
    if len(whole) != count:
        raise ValueError(f"seed: expected one seed or {count}, found {len(whole)}")
    first = None if start is None else _projected(named(start), given, moves)
    drawn = Drawn(objective, whole)
    return Descent(drawn, given, moves, schedule, tuple(whole), budget, select, check, first, x0).finish()


def _projected(
    start: Mapping[str, torch.Tensor], x0: Mapping[str, torch.Tensor], moves: Mapping[str, On]
) -> dict[str, torch.Tensor]:
    if start.keys() != x0.keys():
        raise ValueError(f"start: expected the variables {', '.join(x0)}, found {', '.join(start)}")
    return {name: moves[name].constraint.project(start[name].detach().to(x), x) for name, x in x0.items()}


def _check(
    objective: Objective,
    x0: Mapping[str, torch.Tensor],
    moves: Mapping[str, On],
    select: Select,
    check: Check | None,
) -> None:
    if select not in ("last", "best", "checked"):
        raise ValueError(f"select: expected last, best or checked, found {select!r}")
    if select == "best" and not objective.fixed:
        raise ValueError("select: a sampled objective has no comparable losses; use 'last'")
    if select == "checked" and check is None:
        raise ValueError("select: 'checked' needs a check")
    if not x0 or x0.keys() != moves.keys():
        raise ValueError(f"moves: expected one for each of {', '.join(x0) or 'no'} variables, found {', '.join(moves)}")
    if len({len(x) for x in x0.values()}) > 1:
        raise ValueError(f"x0: expected as many rows in all variables, found { {n: len(x) for n, x in x0.items()} }")
    for name, x in x0.items():
        if is_picture(name):
            _check_picture(x)
    if check is not None and not any(map(is_picture, x0)):
        raise ValueError("check: looks at pictures, and no variable is one")


def _check_picture(x: torch.Tensor) -> None:
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"x0: expected shape [B, 3, H, W], found {list(x.shape)}")
    if not (float(x.min()) >= 0 and float(x.max()) <= 1):  # NaN too
        raise ValueError(f"x0: expected values in [0, 1], found [{float(x.min()):.3f}, {float(x.max()):.3f}]")
