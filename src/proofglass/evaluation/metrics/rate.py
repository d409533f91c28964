"""The share of samples on which the judge says yes, by the counting rule of `success`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.evaluation.metrics.success import Rate, rates_of
from proofglass.interfaces import SUCCESS, Group, Metric

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class SuccessRate(Metric):
    """Mean score of a judge in each cell and kind of sample, with an interval that keeps samples of one question
    together. Whether a high rate is good depends on what the judge looks for.

    judge: its label, registered name or aspect; "success" for the judge of success of the study.
    """

    name = "rate"

    judge: str = SUCCESS

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.judge,)

    def over(self, rows: pl.DataFrame) -> Rate:
        return self._rates(rows, ())[0]

    def over_groups(self, rows: pl.DataFrame) -> Iterator[tuple[Group, Rate]]:
        groups = rows.select(self.by).unique(maintain_order=True).rows()
        return zip(groups, self._rates(rows, self.by), strict=True)

    def _rates(self, rows: pl.DataFrame, by: Group) -> list[Rate]:
        return rates_of(rows, by, self.judge, f"score:{self.judge}")
