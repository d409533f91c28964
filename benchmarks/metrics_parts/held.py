"""A comparison, carried out: how far ours is from the reference at most, and how long both take."""

from __future__ import annotations

import importlib.metadata
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from metrics_parts.compared import Comparison


@dataclass(frozen=True)
class Held:
    """worst: largest absolute difference over n cases, infinite where one side has a number and the other has none;
    case: where. ours_s, theirs_s: processor seconds over all cases. version: of the reference, "" for a derivation."""

    name: str
    reference: str
    version: str
    n: int
    seed: int
    worst: float
    case: str
    tolerance: float
    ours_s: float
    theirs_s: float

    @property
    def holds(self) -> bool:
        return self.worst <= self.tolerance

    @property
    def ratio(self) -> float:
        return self.ours_s / self.theirs_s if self.theirs_s else math.nan


def hold(comparison: Comparison, n: int, seed: int) -> Held:
    """Both sides on n random cases; the same seed gives the same cases. Raises ValueError for other than n cases."""
    cases = comparison.cases(random.Random(seed), n)
    if len(cases) != n:
        raise ValueError(f"{comparison.name}: expected {n} cases, found {len(cases)}")
    ours, ours_s = _timed(comparison.ours, cases)
    theirs, theirs_s = _timed(comparison.theirs, cases)
    worst, at = max(((_apart(a, b), k) for k, (a, b) in enumerate(zip(ours, theirs, strict=True))), default=(0.0, -1))
    told = f"{cases[at]!r:.200}: ours {ours[at]}, theirs {theirs[at]}" if at >= 0 else ""
    version = importlib.metadata.version(comparison.reference) if comparison.reference else ""
    name, reference, tolerance = comparison.name, comparison.reference, comparison.tolerance
    return Held(name, reference, version, n, seed, worst, told, tolerance, ours_s, theirs_s)


def _timed(side: Callable[[Any], float], cases: Sequence[Any]) -> tuple[list[float], float]:
    if cases:
        side(cases[0])  # what is loaded at the first call is not counted
    start = time.process_time()
    found = [side(case) for case in cases]
    return found, time.process_time() - start


def _apart(one: float, other: float) -> float:
    if math.isnan(one) or math.isnan(other):
        return 0.0 if math.isnan(one) and math.isnan(other) else math.inf
    return 0.0 if one == other else abs(one - other)  # inf - inf is not a number
