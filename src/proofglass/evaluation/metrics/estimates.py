"""What most metrics end with: a share, or a paired difference, with its 95 % interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofglass.evaluation.statistics import clustered_rates, paired_differences
from proofglass.evaluation.statistics.clusters import ClusterTotals, numbered
from proofglass.interfaces import Measure

if TYPE_CHECKING:
    import polars as pl


def share(rows: pl.DataFrame, values: str, nothing: str = "no row was judged") -> Measure:
    """The mean of the column `values` (0..1; null: left out). Rows of one `cluster` are kept together
    (`statistics.clustered_rates`). nothing: the reason where no row is left."""
    totals, n = _totals(rows, values)
    if not n:
        return Measure.none(nothing)
    found = clustered_rates(totals)
    return Measure(found.value.item(), found.low.item(), found.high.item(), n)


def mean_difference(pairs: pl.DataFrame, differences: str, nothing: str = "no pair was judged") -> Measure:
    """The mean of the column `differences` (-1..1; null: left out), one row per pair. Pairs of one `cluster` are kept
    together (`statistics.paired_differences`). nothing: the reason where no pair is left."""
    totals, n = _totals(pairs, differences)
    if not n:
        return Measure.none(nothing)
    found = paired_differences(totals)
    return Measure(found.value.item(), found.low.item(), found.high.item(), n)


def _totals(rows: pl.DataFrame, values: str) -> tuple[ClusterTotals, int]:
    import numpy as np

    kept = rows.filter(rows[values].is_not_null())
    cluster, value = numbered(kept["cluster"]), kept[values].cast(float).to_numpy()
    return ClusterTotals.of(np.zeros(kept.height, np.int64), cluster, value, 1), kept.height
