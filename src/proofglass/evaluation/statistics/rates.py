"""Intervals on rates. Every rate that Proofglass prints has one; none of them is [0, 0] or [1, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proofglass.evaluation.statistics.quantiles import binomial_tail, normal_quantile

if TYPE_CHECKING:
    import numpy as np

    from proofglass.evaluation.statistics.clusters import ClusterTotals


def wilson(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a rate of `successes` out of `n`; ends in [0, 1].

    successes: 0..n, a sum of scores may be fractional. Raises ValueError for n < 1: no data has no interval.
    Source: Wilson 1927; equals statsmodels' `proportion_confint(method="wilson")`.
    """
    _check(successes, n)
    low, high = score_interval(successes / n, n, level)
    return float(low), float(high)


def score_interval(rate: np.ndarray | float, n: np.ndarray | float, level: float = 0.95) -> tuple[Any, Any]:
    """Wilson's interval of rates in 0..1 with n > 0, which need not be whole: (low, high), arrays of one shape."""
    import numpy as np

    z = normal_quantile(level)
    rate, n = np.asarray(rate, np.float64), np.asarray(n, np.float64)
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # The ends at 0 and 1 are exact; floats would miss them by 1e-17.
    low = np.where(rate <= 0, 0.0, np.maximum(0.0, middle - half))
    return low, np.where(rate >= 1, 1.0, np.minimum(1.0, middle + half))


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval: never covers less than `level`, usually more. successes: whole, 0..n.

    Source: Clopper & Pearson 1934; equals statsmodels' `proportion_confint(method="beta")`.
    """
    _check(successes, n)
    if successes != int(successes):
        raise ValueError(f"successes: the exact interval needs a whole number, found {successes}; use wilson")
    tail = (1 - level) / 2
    # P(X >= s | low) = tail and P(X <= s | high) = tail, which is the first with yes and no exchanged.
    low, other = (_solve(int(count), n, tail) for count in (successes, n - successes))
    return low, 1 - other


def _solve(successes: int, n: int, tail: float) -> float:
    """The rate p at which P(X >= successes) = tail, by bisection: the probability grows with p."""
    if successes == 0:
        return 0.0
    below, above = 0.0, 1.0
    while above - below > 1e-12:
        middle = (below + above) / 2
        below, above = (below, middle) if binomial_tail(successes, n, middle) > tail else (middle, above)
    return (below + above) / 2


@dataclass(frozen=True)
class ClusteredRates:
    """Arrays, one entry per cell: the mean score, its interval, rows, clusters, and as how many equal ones they count
    (`ClusterTotals.effective`). A cell without rows has NaN for the first three."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray
    clusters: np.ndarray
    effective_clusters: np.ndarray


def clustered_rates(totals: ClusterTotals, level: float = 0.95) -> ClusteredRates:
    """Mean scores in 0..1 of many cells, with intervals that hold where rows of one cluster are alike.

    Wilson's interval on n divided by a careful design effect (`clusters.effective_rows`). Without shared clusters it is
    Wilson's. The interval is never narrower than Wilson's on the rows.
    """
    import numpy as np

    from proofglass.evaluation.statistics.clusters import effective_rows

    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.clip(totals.sum / totals.n, 0.0, 1.0)
        rows = effective_rows(totals, value, value * (1 - value), level)
        low, high = score_interval(value, rows, level)
    return ClusteredRates(value, low, high, totals.n, totals.clusters, totals.effective)


def _check(successes: float, n: int) -> None:
    if n < 1:
        raise ValueError(f"n: expected at least 1, found {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes: expected 0..{n}, found {successes}")
