"""What in this run hints that a gradient misled an attack, so that a low rate may not mean a robust victim."""

from __future__ import annotations

from typing import Any

from proofglass.evaluation.metrics.kinds import ORDER
from proofglass.interfaces import opens_of
from proofglass.report.run import ReportedCell, ReportedRun
from proofglass.report.tables import crafts, numbers, scalar
from proofglass.report.wording import number, percent, with_interval

ZEROS = 0.05  # share of exactly zero values in the first gradient
MOVED = 1e-3  # share of the first loss by which an optimisation must lower it


def sanity(run: ReportedRun) -> list[str]:
    """One sentence per finding, in plan order; empty if nothing is suspicious.

    Looks at traces (zero or non-finite gradients, a loss that did not move, a fast path that was refused) and at rates
    (a black-box attack above every white-box one: gradient masking). `proofglass victims check` looks closer.
    """
    found = [f"{craft['attack']} on {craft['victim']}: {text}." for craft in crafts(run) for text in _trace(craft)]
    return [*dict.fromkeys(found), *_masking(run)]


def _trace(craft: dict[str, Any]) -> list[str]:
    trace = craft.get("trace") or {}
    found = []
    zeros = scalar(trace.get("zero_gradient_share"))
    if zeros is not None and zeros > ZEROS:
        found.append(f"{percent(zeros)} of the first gradient is exactly zero, where a sign step stands still")
    if scalar(trace.get("nonfinite_steps")):
        found.append(f"{number(trace['nonfinite_steps'])} steps a picture had a gradient that is not finite")
    losses = [loss for loss in numbers(trace.get("loss")) if loss is not None]
    end = scalar(trace.get("loss_before_rounding"))
    if craft.get("backward") and losses and end is not None and end > losses[0] - MOVED * abs(losses[0]):
        found.append(f"its loss did not move ({number(losses[0])} at first, {number(end)} at the end)")
    path = str(trace.get("gradient_path") or "")
    if "disagrees" in path or "Error" in path:
        found.append(f"the fast gradient was refused ({path})")
    return found


def _masking(run: ReportedRun) -> list[str]:
    """Victims on which a search without gradients did better than every attack with them."""
    found = []
    for expected in ORDER:
        for dataset in run.sets(expected):
            for victim in run.victims:
                cells = [
                    cell
                    for cell in run.measured(expected, victim=victim, dataset=dataset)
                    if cell.defense in run.undefended and _spent(cell)
                ]
                blind = [cell for cell in cells if _opens(cell) == "scores"]
                seeing = [cell for cell in cells if _opens(cell) == "gradients"]
                if not blind or not seeing:
                    continue
                best, other = (max(some, key=_harm) for some in (blind, seeing))
                if _harm(best) > _harm(other):
                    found.append(
                        f"{victim} on {dataset}: {best.attack}, which sees no gradient, reaches "
                        f"{with_interval(best.rate)}, the best attack that sees them ({other.attack}) "
                        f"{with_interval(other.rate)}: a sign of gradient masking."
                    )
    return found


def _harm(cell: ReportedCell) -> float:
    """How far an attacker got: the rate, or how little of it there is where a high one is good."""
    value: float = cell.rate["value"]
    return value if cell.is_bad else -value


def _spent(cell: ReportedCell) -> bool:
    craft = cell.plan.get("craft") or {}
    return bool(craft.get("forward") or craft.get("queries"))


def _opens(cell: ReportedCell) -> str | None:
    return opens_of(cell.plan.get("craft") or {})
