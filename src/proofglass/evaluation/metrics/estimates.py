"""What most metrics end with: a share, a paired difference, or a number of sums, with its 95 % interval."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from proofglass.evaluation.statistics import bootstrap, clustered_rates, paired_differences
from proofglass.evaluation.statistics.clusters import ClusterTotals, numbered
from proofglass.interfaces import Measure

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def share(rows: pl.DataFrame, values: str, nothing: str = "no row was judged") -> Measure:
    """The mean of the column `values` (0..1; null: left out). Rows of one `cluster` are kept together
    (`statistics.clustered_rates`). nothing: the reason where no row is left."""
    mine, n = totals(rows, values)
    if not n:
        return Measure.none(nothing)
    found = clustered_rates(mine)
    return Measure(found.value.item(), found.low.item(), found.high.item(), n)


def mean_difference(pairs: pl.DataFrame, differences: str, nothing: str = "no pair was judged") -> Measure:
    """The mean of the column `differences` (-1..1; null: left out), one row per pair. Pairs of one `cluster` are kept
    together (`statistics.paired_differences`). nothing: the reason where no pair is left."""
    mine, n = totals(pairs, differences)
    if not n:
        return Measure.none(nothing)
    found = paired_differences(mine)
    return Measure(found.value.item(), found.low.item(), found.high.item(), n)


def of_sums(
    rows: pl.DataFrame,
    sums: Sequence[str],
    statistic: Callable[[np.ndarray], np.ndarray],
    nothing: str = "no row was judged",
) -> Measure:
    """`statistic` of the sums of these columns: float [R, k] -> float [R], NaN where there is none. Its interval is
    that of clusters drawn again (`statistics.bootstrap`). nothing: the reason where it is NaN of all rows."""
    import numpy as np

    rows = rows.sort("cluster")  # the draws are of clusters in one order, whatever that of the rows is
    table = rows.select(sums).to_numpy().astype(np.float64).reshape(rows.height, len(sums))
    return of_table(table, rows["cluster"], statistic, nothing)


def of_table(
    table: np.ndarray,
    clusters: Iterable[Hashable],
    statistic: Callable[[np.ndarray], np.ndarray],
    nothing: str = "no row was judged",
) -> Measure:
    """The same of a table, float [n, k], whose rows stand in an order that no frame's decides. clusters: of each."""
    import numpy as np

    value = float(statistic(table.sum(0, keepdims=True))[0])
    if np.isnan(value):
        return Measure.none(nothing)
    return holding(value, bootstrap(table, clusters, statistic), len(table))


def with_parts(found: Measure, one: Measure, other: Measure, both: Callable[[float, float], float]) -> Measure:
    """`found` = both(one, other), which grows with either. Where its draws are all alike, as at 0 and 1, it gets the
    interval that the ends of theirs give: wider than 95 %, and no certainty out of few rows."""
    if found.value is None or found.low is not None:
        return found
    ends = [(part.low, part.high) for part in (one, other)]
    (low, high), (other_low, other_high) = ends
    if low is None or high is None or other_low is None or other_high is None:
        return found
    return holding(found.value, (both(low, other_low), both(high, other_high)), found.n)


def holding(value: float, ends: tuple[float, float] | None, n: int) -> Measure:
    """A number with the interval `ends`, widened where a percentile interval misses the number itself."""
    if ends is None:
        return Measure(value, n=n)
    return Measure(value, min(ends[0], value), max(ends[1], value), n)


def without(found: Measure, count: int, why: str) -> Measure:
    """`found`, which says how many rows were left out. why: of one of them, "row without ...", its noun first."""
    if not count:
        return found
    noun = re.match(r"\w+", why)
    told = f"left out: {count} {why}" if count == 1 or not noun else f"left out: {count} {noun[0]}s{why[noun.end() :]}"
    return replace(found, reason="; ".join(part for part in (found.reason, told) if part))


def totals(rows: pl.DataFrame, values: str) -> tuple[ClusterTotals, int]:
    import numpy as np

    kept = rows.filter(rows[values].is_not_null())
    cluster, value = numbered(kept["cluster"]), kept[values].cast(float).to_numpy()
    return ClusterTotals.of(np.zeros(kept.height, np.int64), cluster, value, 1), kept.height
