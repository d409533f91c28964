"""Rows that share a cluster (a question) are not independent: how many independent ones they are worth.

The usual answers fail where it matters. A bootstrap over clusters, and any plain estimate of the design effect, learns
from the clusters that were drawn how much clusters differ. With few clusters, or few successes, most draws miss the
cluster that would have told: the estimate is near zero just when the rate is too low as well, and the interval lies
below the truth. `scripts/interval_coverage.py` shows it beside what is done here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from proofglass.evaluation.statistics.quantiles import normal_quantile, student_quantile

if TYPE_CHECKING:
    import numpy as np

# Chosen by simulation, once: what holds 93 % without a warning, and 89 % where rates of clusters are of three kinds
# (docs/counting-rule.md has the tables).
PRIOR = 4.0  # clusters' worth of the belief that rows of a cluster are all alike
MIXED = 16.0  # successes seen beside failures in one cluster that halve that belief
CAUTION = 3.0  # how much of that belief an estimated correlation keeps up, per unit of correlation
LEAST = 2.0  # clusters that are given up for not knowing how alike they are

# Below either an interval is said to rest on few: it still holds 90 % and more in simulation.
FEW_CLUSTERS = 30
FEW_EFFECTIVE = 15


def numbered(values: Iterable[Hashable]) -> np.ndarray:
    """int64 [n]: a number for each value, equal for equal ones, from 0 in order of appearance."""
    import numpy as np

    places: dict[Hashable, int] = {}
    return np.array([places.setdefault(value, len(places)) for value in values], np.int64)


def is_few(n: float, clusters: float, effective: float) -> bool:
    """Whether an interval over these rows rests on too few clusters to be taken without a word. False without shared
    clusters: Wilson's needs none."""
    return 0 < clusters < n and (clusters < FEW_CLUSTERS or effective < FEW_EFFECTIVE)


@dataclass(frozen=True)
class ClusterTotals:
    """What intervals need of the rows: per (cell, cluster) its cell, the sum and the sum of squares of its values and
    its number of rows (float64 arrays of one length, sorted by cell); `cells`: how many cells there are."""

    cell: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    counts: np.ndarray
    cells: int

    @classmethod
    def of(cls, cell: np.ndarray, cluster: np.ndarray, values: np.ndarray, cells: int) -> ClusterTotals:
        """From rows: cell 0..cells-1, cluster (a code >= 0, read within its cell), value; arrays of one length."""
        import numpy as np

        width = int(cluster.max(initial=0)) + 1
        pairs, place = np.unique(cell.astype(np.int64) * width + cluster, return_inverse=True)
        sums, squares = (np.bincount(place, weights=weights, minlength=pairs.size) for weights in (values, values**2))
        counts = np.bincount(place, minlength=pairs.size).astype(np.float64)
        return cls(pairs // width, sums, squares, counts, cells)

    def per_cell(self, values: np.ndarray) -> np.ndarray:
        """Sums of one value per (cell, cluster) over the clusters of each cell: float64, [cells]."""
        import numpy as np

        return np.bincount(self.cell, weights=values, minlength=self.cells)

    @cached_property
    def sum(self) -> np.ndarray:
        return self.per_cell(self.sums)

    @cached_property
    def n(self) -> np.ndarray:
        return self.per_cell(self.counts)

    @cached_property
    def clusters(self) -> np.ndarray:
        import numpy as np

        return np.bincount(self.cell, minlength=self.cells)

    @cached_property
    def size(self) -> np.ndarray:
        """The size of the cluster of a row, mean over rows: the design effect if rows of a cluster are all alike. NaN
        for a cell without rows."""
        found: np.ndarray = self.per_cell(self.counts**2) / self.n
        return found

    @cached_property
    def effective(self) -> np.ndarray:
        """As how many clusters of equal size these count, 1..clusters: n^2 / sum of squared sizes (Kish 1965)."""
        found: np.ndarray = self.n / self.size
        return found


def effective_rows(totals: ClusterTotals, mean: np.ndarray, spread: np.ndarray, level: float) -> np.ndarray:
    """How many independent rows the rows of each cell are worth, for an interval of their mean: n over a design effect.

    mean: of the values, [cells]; spread: the variance of one row about it (p (1 - p) for yes and no), [cells].
    Between n (every row its own cluster; or clusters that were seen to be mixed) and about the number of clusters.

    1. Estimate the correlation r of rows in a cluster from the linearised variance of a ratio, times k / (k - 1).
    2. Doubt it: r is drawn towards 1 by PRIOR / (PRIOR + information), information = (effective clusters - 1) times
       4 spread, since clusters without an event tell nothing. Clusters that hold both answers are evidence that 1 is
       wrong: the pull fades with them (MIXED), unless r itself was found large (CAUTION).
    3. Design effect 1 + (size - 1) r, times (t / z)^2 with effective clusters - 1 degrees of freedom.
    4. At least the effective clusters less LEAST: more than wholly alike, rows cannot be.

    Source: ours. Steps 1 and 3 are Korn & Graubard 1998 (with Kish's effective number in place of k, Wilson in place of
    Clopper-Pearson); step 4 is the case r = 1.
    """
    import numpy as np

    n, size, effective = totals.n, totals.size, totals.effective
    residuals = totals.sums - mean[totals.cell] * totals.counts
    k = totals.clusters
    variance = totals.per_cell(residuals**2) * k / np.maximum(k - 1, 1)
    # No spread, or one cluster: nothing speaks against rows that are all alike.
    known = (spread > 0) & (k > 1)
    found = (variance / (n * np.where(known, spread, 1.0)) - 1) / np.maximum(size - 1, 1e-12)
    r = np.where(known, np.clip(found, 0, 1), 1.0)

    information = np.maximum(effective - 1, 0) * np.maximum(4 * np.minimum(spread, 0.25), 1 / effective)
    within = (totals.squares - totals.sums**2 / totals.counts) / np.maximum(totals.counts - 1, 1)
    mixed = np.maximum(totals.per_cell(totals.counts**2 * within), 0) / size
    pull = PRIOR / (PRIOR + information) * np.minimum(1, MIXED / (MIXED + mixed) + CAUTION * r)
    effect = 1 + (size - 1) * (r + (1 - r) * pull)

    wider = (student_quantile(level, np.maximum(effective - 1, 1)) / normal_quantile(level)) ** 2
    given_up = LEAST * (1 - effective / n)  # 0 where no cluster is shared: then this is Wilson's interval
    least = np.maximum(effective - given_up, effective / 2)
    found_rows: np.ndarray = np.clip(n / (effect * wider), least, n)
    return found_rows
