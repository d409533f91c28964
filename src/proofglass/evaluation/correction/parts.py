"""A rate put together from parts of a population, each with labels of its own."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot, sqrt

from proofglass.evaluation.statistics.quantiles import normal_quantile
from proofglass.evaluation.statistics.rates import score_interval


def part_interval(rate: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a rate in 0..1 seen among n rows; n may be a fraction, and of 0 rows it is [0, 1]."""
    if n <= 0:
        return 0.0, 1.0
    low, high = score_interval(rate, n, level)
    return float(low), float(high)


def combined(
    shares: Sequence[float], rates: Sequence[float], ends: Sequence[tuple[float, float]], n: float, level: float = 0.95
) -> tuple[float, float, float]:
    """The rate sum(share x rate) of n rows and its interval, all in [0, 1].

    shares: of the parts among the n rows, summing to 1; rates, ends: of each part, with its interval (Wilson's, or what
    is known without sampling: rate, rate). The intervals are combined by the square-and-add rule; the chance of the
    shares themselves is added, since the rows are a sample too. One part alone gives its own interval back: no
    interval is [0, 0] for want of a positive label.
    Source: Zou and Donner 2008 (MOVER); Yan and Su 2010 for stratified rates. The term of the shares is ours.
    """
    parts = list(zip(shares, rates, ends, strict=True))
    rate = sum(share * each for share, each, _ in parts)
    of_shares = normal_quantile(level) * sqrt(sum(share * (each - rate) ** 2 for share, each, _ in parts) / n)
    below = hypot(of_shares, *(share * (each - low) for share, each, (low, _) in parts))
    above = hypot(of_shares, *(share * (high - each) for share, each, (_, high) in parts))
    return rate, max(0.0, rate - below), min(1.0, rate + above)
