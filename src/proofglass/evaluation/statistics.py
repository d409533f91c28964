"""Intervals on rates. Every rate that Proofglass prints has one; none of them is [0, 0] or [1, 1]."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import sqrt
from statistics import NormalDist


def wilson(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a rate of `successes` out of `n`; ends in [0, 1].

    successes: 0..n, a sum of scores may be fractional. Raises ValueError for n < 1: no data has no interval.
    Source: Wilson 1927; equals statsmodels' `proportion_confint(method="wilson")`.
    """
    if n < 1:
        raise ValueError(f"n: expected at least 1, found {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes: expected 0..{n}, found {successes}")
    z = _z(level)
    rate = successes / n
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # The ends at 0 and n are exact; floats would miss them by 1e-17.
    return (
        0.0 if successes == 0 else max(0.0, middle - half),
        1.0 if successes == n else min(1.0, middle + half),
    )


def cluster_bootstrap(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
    draws: int = 10_000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of the mean when whole clusters are resampled: rows of one cluster are not independent.

    values: one score in 0..1 per row; clusters: the cluster of each row. Where resampling cannot move the mean
    (all clusters have the same one, or there is only one), Wilson's interval with n = number of clusters.
    Raises ValueError for no rows or different lengths.
    """
    import numpy as np

    if not values or len(values) != len(clusters):
        raise ValueError(f"values: expected one per cluster entry and at least one, found {len(values)}")
    places: dict[Hashable, int] = {}
    index = np.array([places.setdefault(cluster, len(places)) for cluster in clusters])
    sums = np.bincount(index, weights=np.asarray(values, np.float64))
    counts = np.bincount(index).astype(np.float64)
    k = len(places)
    if np.ptp(sums / counts) == 0:
        return wilson(float(min(k, k * sums.sum() / counts.sum())), k, level)
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    step = max(1, 1_000_000 // k)  # 8 MB of indices at a time, whatever the number of clusters
    for start in range(0, draws, step):
        drawn = rng.integers(0, k, (min(step, draws - start), k))
        means[start : start + step] = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def newcombe(
    successes: float, n: int, other_successes: float, other_n: int, level: float = 0.95
) -> tuple[float, float]:
    """Interval for the difference of two independent rates, `successes / n - other_successes / other_n`.

    Source: Newcombe 1998, method 10 (from two Wilson intervals, no continuity correction).
    """
    p, q = successes / max(n, 1), other_successes / max(other_n, 1)
    low, high = wilson(successes, n, level)
    other_low, other_high = wilson(other_successes, other_n, level)
    difference = p - q
    return (
        difference - sqrt((p - low) ** 2 + (other_high - q) ** 2),
        difference + sqrt((high - p) ** 2 + (q - other_low) ** 2),
    )


def _z(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level: expected 0 < level < 1, found {level}")
    return NormalDist().inv_cdf((1 + level) / 2)
