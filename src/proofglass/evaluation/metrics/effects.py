"""What an attack or a defense changes: the same samples with it and without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proofglass.evaluation.metrics.estimates import mean_difference
from proofglass.interfaces import CELL, SUCCESS, Group, Measure, Metric

if TYPE_CHECKING:
    import polars as pl

Of = Literal["attack", "defense"]


@dataclass(frozen=True)
class Effect(Metric):
    """Mean score with the attack (or defense) less the mean score without it, over the samples judged under both.

    of: "attack" or "defense"; cells of the one that does nothing have no effect and no row. judge: as in `rate`.

    The same differences as in `compare`, which tests them; samples of one question are kept together.
    """

    name = "effect"
    settled = ("of",)
    range = (-1.0, 1.0)

    of: Of = "attack"
    judge: str = SUCCESS

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.judge,)

    def over_groups(self, rows: pl.DataFrame) -> Iterator[tuple[Group, Measure]]:
        import polars as pl

        score, idle = pl.col(f"score:{self.judge}"), {"attack": "unattacked", "defense": "undefended"}[self.of]
        same = [*(name for name in CELL if name != self.of), "sample_id"]
        without = rows.filter(pl.col(idle)).group_by(same).agg(score.mean().alias("without"))
        pairs = rows.filter(~pl.col(idle)).join(without, on=same, how="left", maintain_order="left")
        pairs = pairs.with_columns(difference=score - pl.col("without"))
        for group, mine in pairs.group_by(self.by, maintain_order=True):
            nothing = f"no sample was judged both with and without the {self.of}"
            yield tuple(str(name) for name in group), mean_difference(mine, "difference", nothing)
