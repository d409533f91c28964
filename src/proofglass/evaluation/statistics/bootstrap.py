"""Intervals of numbers that are no mean of rows: clusters drawn again and again (Efron 1979).

A statistic is a function of sums over rows (counts of a confusion table, of n-grams), or of the rows themselves.
Clusters are resampled, never rows: rows of one question come and go together.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING

from proofglass.evaluation.statistics.clusters import numbered

if TYPE_CHECKING:
    import numpy as np

DRAWS = 1000
LEVEL = 0.95
SEED = 0
ALIKE = 1e-12  # draws that differ by rounding alone
ELEMENTS = 4_000_000  # weights held at a time: 32 MB


def bootstrap(
    sums: np.ndarray,
    clusters: Iterable[Hashable],
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = SEED,
) -> tuple[float, float] | None:
    """The percentile interval of `statistic(sums over the rows)`.

    sums: float [n, k], what each row adds; clusters: of each row. statistic: float [R, k] -> float [R], NaN where there
    is none (a draw without a denominator is left out). None where it says nothing: fewer than two clusters, no draw
    with a number, or draws that are all alike, which happens at 0 and n successes and would be told as certainty. The
    same seed gives the same interval.
    """
    import numpy as np

    index = numbered(clusters)
    k = int(index.max(initial=-1)) + 1
    if k < 2:
        return None
    by_cluster = np.zeros((k, sums.shape[1]))
    np.add.at(by_cluster, index, sums)
    drawn = np.concatenate([statistic(weights @ by_cluster) for weights in _weights(k, draws, seed)])
    return _ends(drawn, level)


def bootstrap_rows(
    clusters: Iterable[Hashable],
    statistic: Callable[[np.ndarray], float],
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = SEED,
) -> tuple[float, float] | None:
    """The same of a statistic that needs the rows themselves (a rank statistic): how often each row was drawn, float
    [n], -> a number, NaN where there is none."""
    import numpy as np

    index = numbered(clusters)
    k = int(index.max(initial=-1)) + 1
    if k < 2:
        return None
    found = [statistic(row[index]) for weights in _weights(k, draws, seed) for row in weights]
    return _ends(np.array(found), level)


def _weights(k: int, draws: int, seed: int) -> Iterable[np.ndarray]:
    """How often each of k clusters is drawn, float [r, k], some draws at a time."""
    import numpy as np

    random = np.random.default_rng(seed)
    step = max(1, ELEMENTS // k)
    for begin in range(0, draws, step):
        count = min(step, draws - begin)
        # Which clusters are drawn, counted: numpy's multinomial takes four times as long over 100,000 of them.
        drawn = random.integers(0, k, (count, k)) + k * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * k).reshape(count, k).astype(np.float64)


def _ends(drawn: np.ndarray, level: float) -> tuple[float, float] | None:
    import numpy as np

    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size or np.ptp(drawn) <= ALIKE * max(1.0, float(np.abs(drawn).max())):
        return None
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
