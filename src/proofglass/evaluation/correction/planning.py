"""Which replies to label, and what interval that buys: labels go where the judge leaves most open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proofglass.evaluation.correction.parts import combined, part_interval
from proofglass.evaluation.correction.result import NO, UNJUDGED, WITHHELD, YES

GUESS = {YES: 0.5, NO: 0.05, UNJUDGED: 0.25}  # what is rightly said to be positive, where nothing is known
CERTAIN = 0.02  # no guess is taken to be surer than this


@dataclass(frozen=True)
class LabelPlan:
    """labels: part -> how many of its replies are to be labelled in all, what is done included. rate, low, high: the
    interval to expect then; alone: width of the one that as many labels drawn from all replies would give."""

    labels: dict[str, int]
    rate: float
    low: float
    high: float
    alone: float

    @property
    def width(self) -> float:
        return self.high - self.low


def plan_labels(
    sizes: Mapping[str, int],
    rates: Mapping[str, float],
    budget: int,
    *,
    done: Mapping[str, int] | None = None,
    level: float = 0.95,
) -> LabelPlan:
    """Spend `budget` labels (those already `done` included) on parts of a population.

    sizes: verdict -> replies; rates: verdict -> share that is thought positive. Withheld replies need no label. Each
    label goes where it lowers the variance of `from_labels` most: the optimal allocation in whole numbers.
    Raises ValueError for a budget below 1.
    Source: Neyman 1934; the exact whole-number form is Wright 2012, The American Statistician 66.
    """
    if budget < 1:
        raise ValueError(f"budget: expected at least 1 label, found {budget}")
    total = sum(sizes.values())
    labels = {part: min((done or {}).get(part, 0), size) for part, size in sizes.items() if part != WITHHELD}
    open_ = {part: min(1 - CERTAIN, max(CERTAIN, rates[part])) for part in labels}
    for _ in range(budget - sum(labels.values())):
        room = [part for part in labels if labels[part] < sizes[part]]
        if not room:
            break
        best = max(room, key=lambda part: _gain(sizes[part], open_[part], labels[part]))
        labels[best] += 1
    # An interval for what is expected: in each part the expected number of positive labels.
    shares = [size / total for size in sizes.values()]
    expected = [0.0 if part == WITHHELD else rates[part] for part in sizes]
    known = {**labels, WITHHELD: sizes.get(WITHHELD, 0)}
    ends = [part_interval(rate, known[part], level) for part, rate in zip(sizes, expected, strict=True)]
    rate, low, high = combined(shares, expected, ends, total, level)
    silent = sizes.get(WITHHELD, 0) / total
    bottom, top = part_interval(rate / (1 - silent) if silent < 1 else 0.0, sum(labels.values()), level)
    return LabelPlan(labels, rate, low, high, (1 - silent) * (top - bottom))


def guessed(counts: Sequence[tuple[float, float]], guess: float) -> float:
    """A rate from (positive, labels) pairs that a few labels cannot move to 0 or 1: `guess` counts as two labels."""
    hits, rows = (sum(each) for each in zip(*counts, strict=True)) if counts else (0.0, 0.0)
    return (hits + 2 * guess) / (rows + 2)


def _gain(size: int, rate: float, labels: int) -> float:
    """By how much one label more lowers the variance of size x rate; without any label nothing is known."""
    return float("inf") if labels == 0 else size**2 * rate * (1 - rate) / (labels * (labels + 1))
