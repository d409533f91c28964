"""What a correction says, and what a judge said about a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["yes", "no", "unjudged", "withheld"]
YES, NO, UNJUDGED, WITHHELD = "yes", "no", "unjudged", "withheld"
Basis = Literal["labels of these replies", "labels of other replies", "none"]


@dataclass(frozen=True)
class Corrected:
    """A rate in 0..1 with its 95 % interval, all None where there is no basis for one.

    n: replies that it is about; labels: human labels that it rests on; questions: different ones among these.
    basis: whose labels; method: how, in words; reason: why not the others, or why there is none.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    labels: int
    questions: int
    basis: Basis
    method: str
    reason: str = ""

    @classmethod
    def none(cls, n: int, reason: str, labels: int = 0) -> Corrected:
        return cls(None, None, None, n, labels, 0, "none", "none", reason)


def verdict_of(value: float | None, withheld: bool = False) -> Verdict:
    """A judge's score as a verdict. withheld: no reply got through, so that there is nothing to be right about."""
    if withheld:
        return "withheld"
    return "unjudged" if value is None else "yes" if value >= 0.5 else "no"
