"""The plug Metric: the scored rows of a run -> numbers with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from proofglass.interfaces.plugs import Plug

if TYPE_CHECKING:
    import polars as pl

CELL = ("victim", "attack", "defense", "dataset", "expected")  # what a rate is about: one question of one kind
SUCCESS = "success"  # among the needs of a metric: the study's judge of success
Group = tuple[str, ...]


@dataclass(frozen=True)
class Measure:
    """What a metric found for one group of rows. None: nothing could be measured, and `reason` says why.

    value, low, high: in the unit of the metric, a 95 % interval (both ends or neither: not every number has one).
    n: rows that it rests on. Raises ValueError for what is no number, and for an interval that misses its value.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        numbers = [self.low, self.value, self.high]
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(f"value: expected finite numbers or None, found {self.low}, {self.value}, {self.high}")
        if self.n < 0:
            raise ValueError(f"n: expected 0 or more, found {self.n}")
        if self.value is None:
            if not self.reason:
                raise ValueError("reason: a measure of None says why nothing could be measured")
            if self.low is not None or self.high is not None:
                raise ValueError("low, high: a measure of None has no interval")
        elif (self.low is None) != (self.high is None):
            raise ValueError(f"low, high: expected both ends or neither, found {self.low} and {self.high}")
        elif self.low is not None and self.high is not None and not self._holds(self.low, self.value, self.high):
            raise ValueError(f"low, high: [{self.low}, {self.high}] does not hold the value {self.value}")

    @staticmethod
    def _holds(low: float, value: float, high: float) -> bool:
        dust = 1e-9 * max(1.0, abs(value))  # what rounding may add
        return low - dust <= value <= high + dust

    @classmethod
    def none(cls, reason: str) -> Measure:
        """Nothing could be measured, since ..."""
        return cls(None, reason=reason)


class Metric(Plug):
    """Numbers over the scored rows of a run: `over` one group, or `over_groups` where groups meet or speed matters.

    column: heading of the number. by: columns that make a group, CELL or any of its names. range: the ends that no
    value passes, None for an open one. better: which way is better for whoever defends, "" for neither.

    The rows (a polars frame, one row per cell and sample, cells in plan order) hold the columns of `Record` and
      undefended, unattacked   bool: whether the row's defense, or attack, is the one that does nothing
      score:NEED               float in 0..1 for each of `needs`: what the row counts as by the counting rule. 0 if the
                               reply was withheld whole (1 by a judge whose 1 says "refused"); null if the row failed
                               or could not be judged
      given:NEED               the same as the judge gave it, whatever became of the reply; null where it gave none
      label:NEED               text: what the judge called the reply; null where it said nothing
      clean_file               text: the PNG file of the sample's picture before the attack; null where there is none
      attacked_files           list of texts: the PNG files of the pictures that the victim was shown, in order
    All columns of `Record` but those that no report loads: conversation, asked, meta, decisions, settings, reasoning.
    A file may be gone by the time it is read. Where nobody says where pictures lie, no row has one.
    Rows are left out whose victim lives where a needed judge is not valid. A metric may not rely on their order.
    """

    column: ClassVar[str] = ""
    by: ClassVar[Group] = CELL
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    better: ClassVar[Literal["higher", "lower", ""]] = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """The judges whose scores it reads: SUCCESS, or a judge's label in the study, its registered name or its
        aspect. A study that names its judges must name these; one that names none gets them."""
        return ()

    def over(self, rows: pl.DataFrame) -> Measure:
        """The number of one group. rows: maybe none; `Measure.none` where nothing can be said. Raises TypeError for a
        metric that defines neither this nor `over_groups`."""
        raise TypeError(f"{type(self).__name__} defines neither over(rows) nor over_groups(rows)")

    def over_groups(self, rows: pl.DataFrame) -> Iterator[tuple[Group, Measure]]:
        """Every group, as the values of `by`, with its number. Override it where groups are held against each other
        (a defense against none), or where all can be counted at once."""
        for group, mine in rows.group_by(self.by, maintain_order=True):
            yield tuple(str(name) for name in group), self.over(mine)
