"""The threshold of a gated defense at which so many benign asks raise a false alarm, and no more.

found = calibrated(pg.defense("guard-output", judge=guard, threshold=0.5), victim, asks, rate=0.05)
found.defense   # with its threshold set
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.errors import UsageError
from proofglass.interfaces import Defense, Victim
from proofglass.types import Ask, Reply


@dataclass(frozen=True)
class Calibrated:
    """defense: with its new threshold. scores: of the benign asks, in order. alarms: how many of them lie above it.
    errors: asks that came to no decision (an error of victim or judge); they are in no count."""

    defense: Defense
    threshold: float
    scores: tuple[float, ...]
    alarms: int
    errors: int


def threshold_at(scores: Sequence[float], rate: float) -> float:
    """The least threshold that at most a share `rate` of `scores` lies strictly above.

    Raises ValueError for no scores, one that is not finite, or a rate outside of 0..1."""
    if not 0 <= rate <= 1:
        raise ValueError(f"rate: expected 0 to 1, found {rate}")
    if not scores or not all(math.isfinite(score) for score in scores):
        raise ValueError(f"scores: expected finite numbers, at least one, found {list(scores)[:5]}")
    allowed = math.floor(rate * len(scores) + 1e-9)
    ranked = sorted(scores, reverse=True)
    return ranked[min(allowed, len(ranked) - 1)]


def calibrated(defense: Defense, victim: Victim, asks: Sequence[Ask], rate: float = 0.05) -> Calibrated:
    """`defense` with the threshold at which at most a share `rate` of these benign asks makes it intervene.

    Its score rises with danger: margin + threshold, as its decisions tell them. The victim is asked as the defended one
    would be. Take asks that no figure is measured on. Raises UsageError for a defense without such a threshold, or one
    that decided nothing, ValueError for one whose judge has no probability.
    """
    if not hasattr(defense, "threshold"):
        raise UsageError(f"{defense.name}: has no field `threshold` to calibrate")
    if defense.threshold is None:  # a judge's verdict has nothing to calibrate, its probability has
        defense = dataclasses.replace(defense, threshold=0.5)  # type: ignore[type-var]
    scores, errors = [], 0
    for reply in defense(victim).reply(asks):
        found = _score(defense, reply)
        if found is not None:
            scores.append(found)
        errors += reply.outcome == "error"
    if not scores:
        raise UsageError(f"{defense.name}: decided nothing with a margin on {len(asks)} asks, {errors} of them errors")
    threshold = threshold_at(scores, rate)
    changed = dataclasses.replace(defense, threshold=threshold)  # type: ignore[type-var]
    return Calibrated(changed, threshold, tuple(scores), sum(score > threshold for score in scores), errors)


def _score(defense: Defense, reply: Reply) -> float | None:
    own = [each for each in reply.decisions if each.defense == defense.name]
    if not own or own[-1].margin is None or own[-1].threshold is None:
        return None
    return own[-1].margin + own[-1].threshold
