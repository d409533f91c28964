"""The probability of a learned judge as its value: what curves are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from proofglass.interfaces import Judge, passed_on
from proofglass.types import Attempt, Score


@runtime_checkable
class HasProbability(Protocol):
    """A judge that can say how probable its 1 is, whether or not it is sure of it."""

    def probabilities(self, attempts: Sequence[Attempt]) -> list[Score]: ...


@dataclass(frozen=True)
class Graded(Judge):
    """The probability that `judge` gives a 1, also where it is not sure and its verdict would be none. Unjudged is only
    what it cannot read.

    judge: a learned one: refusal, not-refused, unsafe.
    """

    aspect = passed_on("judge", "aspect")
    says = passed_on("judge", "says")
    valid_in = passed_on("judge", "valid_in")
    measured = passed_on("judge", "measured")

    judge: Judge

    def __post_init__(self) -> None:
        if not isinstance(self.judge, HasProbability):
            raise ValueError(f"judge: expected one with a probability, found {self.judge!r}")

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.judge.name}, graded"

    @property
    def column(self) -> str:  # type: ignore[override]
        return f"probability of: {self.judge.column}"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        assert isinstance(self.judge, HasProbability)
        return self.judge.probabilities(attempts)
