"""What a search asked of one sample, short enough for the `reason` of its reply."""

from __future__ import annotations

import re
from dataclasses import dataclass

TOLD = re.compile(r"\btries (\d+), successes (\d+), first at (\d+)\b")


@dataclass(frozen=True)
class Tries:
    """How often a search with a judge in its loop tried one sample, and with what success.

    tries: answers that its judge could judge (a withheld one counts as no success). successes: those that succeeded.
    first: number of the first of them, counted from 1 over the tries; 0 for none. A search that stops at its first
    success has successes 1 and first = tries, or none at all.

    Raises ValueError for numbers that no search can have.
    """

    tries: int
    successes: int = 0
    first: int = 0

    def __post_init__(self) -> None:
        # The first of s successes among t tries is at t - s + 1 at the latest.
        latest = self.tries - self.successes + 1
        fits = 1 <= self.first <= latest if self.successes else self.first == 0
        if not (0 <= self.successes <= self.tries and fits):
            raise ValueError(f"tries: no search has {self.told()!r}")

    def told(self) -> str:
        """As it stands in a reason, beside whatever else is said there."""
        return f"tries {self.tries}, successes {self.successes}, first at {self.first}"

    @classmethod
    def read(cls, reason: str) -> Tries | None:
        """What `told` wrote into a reason, the last of several; None for a reply that no search brought."""
        found = TOLD.findall(reason)
        try:
            return cls(*map(int, found[-1])) if found else None
        except ValueError:  # words of somebody else
            return None
