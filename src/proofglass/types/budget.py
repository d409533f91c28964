"""What an attack may spend on one picture: an amount of something that is counted."""

from __future__ import annotations

import math
import numbers
import re
from dataclasses import dataclass, replace
from typing import Literal, Self

from proofglass.types.replies import Cost

Unit = Literal["passes", "queries", "seconds", "tokens", "money"]
# How each unit is written behind its amount. Passes are the bare number.
WORDS: dict[str, Unit] = {
    "": "passes", "passes": "passes", "queries": "queries", "s": "seconds", "seconds": "seconds",
    "tokens": "tokens", "usd": "money",
}  # fmt: skip
SHORT: dict[Unit, str] = {"passes": "", "queries": "queries", "seconds": "s", "tokens": "tokens", "money": "USD"}
EXAMPLES = "`200` (forward equivalents), `500 queries`, `60 s`, `10000 tokens` or `2.5 USD`"


@dataclass(frozen=True)
class Budget:
    """A cap on what crafting one picture may spend, over all restarts, phases and resumes.

    unit "passes": forward equivalents, forward + 2 x backward passes + queries. "queries": how often the model is run
    from outside, for a reply, a loss or a gradient alike: forward passes + queries. "tokens", "money" (US dollars): of
    the replies that an attack asks for. "seconds": wall time, which another run will not reproduce.
    Raises ValueError for an amount below 0 or not finite, and for an unknown unit.
    """

    amount: float
    unit: Unit = "passes"

    def __post_init__(self) -> None:
        if self.unit not in SHORT:
            raise ValueError(f"budget: expected one of {', '.join(SHORT)} as its unit, found {self.unit!r}")
        if isinstance(self.amount, bool) or not isinstance(self.amount, numbers.Real):
            raise ValueError(f"budget: expected a number, found {self.amount!r}")
        if not (self.amount >= 0 and math.isfinite(self.amount)):
            raise ValueError(f"budget: expected 0 or more, found {self.amount:g}")
        object.__setattr__(self, "amount", float(self.amount))  # 60 and 60.0 are one budget, with one key

    @classmethod
    def read(cls, given: Budget | float | str) -> Budget:
        """A budget as users write it: `200`, `500 queries`, `60 s`, `10000 tokens`, `2.5 USD`. Raises ValueError."""
        if isinstance(given, Budget):
            return given
        if not isinstance(given, str):
            return cls(given)
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", given)
        if found is None or found[2].lower() not in WORDS:
            raise ValueError(f"budget: expected {EXAMPLES}, found {given!r}")
        return cls(float(found[1]), WORDS[found[2].lower()])

    @property
    def plain(self) -> float | str:
        """As it is written in studies and manifests: a bare number of passes, or a text with its unit."""
        return (int(self.amount) if self.amount.is_integer() else self.amount) if self.unit == "passes" else str(self)

    def __str__(self) -> str:
        return f"{self.amount:.10g} {SHORT[self.unit]}".strip()

    @property
    def meaning(self) -> str:
        """In words, for reports: "200 forward equivalents per picture"."""
        if self.unit == "seconds":
            return str(self)  # of the whole batch: pictures are crafted together
        return f"{self.amount:.10g} {SHORT[self.unit] or 'forward equivalents'} per picture"

    def of(self, cost: Cost) -> float:
        """What `cost` comes to in this unit. (Seconds are read from a clock by whoever spends them: 0.)"""
        return counted(self.unit, cost)

    def left(self, spent: Cost, seconds: float) -> Self:
        """What remains after `spent`, or after so many `seconds`; never less than 0."""
        gone = seconds if self.unit == "seconds" else self.of(spent)
        return replace(self, amount=max(self.amount - gone, 0.0))


def counted(unit: Unit, cost: Cost) -> float:
    """What `cost` comes to in `unit`: see `Budget`."""
    if unit == "passes":
        return cost.forward + 2 * cost.backward + cost.queries
    if unit == "queries":
        return cost.forward + cost.queries
    if unit == "tokens":
        return cost.tokens_in + cost.tokens_out
    return cost.money if unit == "money" else 0.0
