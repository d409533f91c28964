"""A rate put together from parts of a population, each with labels of its own."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot, sqrt

from proofglass.evaluation.correction.effects import z_of


def wilson(rate: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a rate in 0..1 seen among n rows; n may be a fraction, 0 gives [0, 1]."""
    if n <= 0:
        return 0.0, 1.0
    z = z_of(level)
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return (0.0 if rate <= 0 else max(0.0, middle - half), 1.0 if rate >= 1 else min(1.0, middle + half))


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
    of_shares = z_of(level) * sqrt(sum(share * (each - rate) ** 2 for share, each, _ in parts) / n)
    below = hypot(of_shares, *(share * (each - low) for share, each, (low, _) in parts))
    above = hypot(of_shares, *(share * (high - each) for share, each, (_, high) in parts))
    return rate, max(0.0, rate - below), min(1.0, rate + above)
