"""How much data a question needs, before anybody is asked; and whether a difference is small enough to accept."""

from __future__ import annotations

from math import ceil, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

from proofglass.evaluation.statistics.quantiles import normal_quantile
from proofglass.evaluation.statistics.rates import score_interval

if TYPE_CHECKING:
    import numpy as np

    from proofglass.evaluation.statistics.paired import PairedDifferences


def rows_for_width(
    width: float, rate: float = 0.5, *, cluster_size: float = 1, correlation: float = 0, level: float = 0.95
) -> int:
    """The fewest rows with which Wilson's interval of a `rate` is at most `width` wide (0..1, both sides together).

    cluster_size, correlation: rows that share a question, and how alike they are (0..1); n grows by the design effect
    1 + (size - 1) correlation. Divide by the size for questions. rate 0.5 needs most.
    """
    if not 0 < width < 1 or not 0 <= rate <= 1:
        raise ValueError(f"width, rate: expected 0 < width < 1 and rate 0..1, found {width} and {rate}")
    effect = _effect(cluster_size, correlation)

    def too_wide(n: int) -> bool:
        low, high = score_interval(rate, n / effect, level)
        return bool(high - low > width)

    few, many = 0, 1
    while too_wide(many):
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if too_wide(middle) else (few, middle)
    return many


def paired_power(
    pairs: int, gained: float, lost: float, *, cluster_size: float = 1, correlation: float = 0, level: float = 0.95
) -> float:
    """Chance that McNemar's test on so many pairs finds a difference `gained - lost` at 1 - level.

    gained, lost: shares of pairs that change one way and the other. Source: Miettinen 1968 as in Connor 1987, equation
    4 (normal approximation, one tail).
    """
    changed, apart = _shares(gained, lost)
    n, z = pairs / _effect(cluster_size, correlation), normal_quantile(level)
    return NormalDist().cdf((apart * sqrt(n) - z * sqrt(changed)) / sqrt(max(changed - apart**2, 1e-12)))


def pairs_for_power(
    power: float, gained: float, lost: float, *, cluster_size: float = 1, correlation: float = 0, level: float = 0.95
) -> int:
    """The fewest pairs for this power. Source: Connor 1987, equation 3. Raises ValueError for equal shares."""
    changed, apart = _shares(gained, lost)
    if apart == 0:
        raise ValueError("gained, lost: equal shares are no difference that could be found")
    if not 0 < power < 1:
        raise ValueError(f"power: expected 0 < power < 1, found {power}")
    z, beyond = normal_quantile(level), NormalDist().inv_cdf(power)
    n = ((z * sqrt(changed) + beyond * sqrt(changed - apart**2)) / apart) ** 2
    return ceil(n * _effect(cluster_size, correlation))


def non_inferiority(found: PairedDifferences, margin: float) -> list[float]:
    """One-sided p values that differences are at or below -margin: small where what is lost is less than the margin.

    margin: 0..1, the loss that would be accepted, fixed before looking. The larger of two: that of the interval, so
    that it is below 0.025 only where the 95 % interval lies above -margin; and that of the score test, which knows
    that a loss of the margin varies, even where none was seen.
    """
    import numpy as np

    if not 0 <= margin < 1:
        raise ValueError(f"margin: expected 0 <= margin < 1 (0.05 is five points), found {margin}")
    z = np.minimum((found.centre + margin) / found.error, margin_score(found.gained, found.lost, found.rows, margin))
    return [NormalDist().cdf(-each) for each in z.tolist()]


def margin_score(
    gained: np.ndarray | float, lost: np.ndarray | float, pairs: np.ndarray | float, margin: float
) -> np.ndarray:
    """z of the score test that a paired difference of rates is -margin: large where it is above; 0 where nothing could
    vary (margin 0, no pair changed).

    gained, lost: of `pairs`, those that changed; need not be whole. The standard error is that of the most likely
    shares with this difference. Source: Tango 1998, Statistics in Medicine 17.
    """
    import numpy as np

    b, c, n = (np.asarray(each, np.float64) for each in (gained, lost, pairs))
    linear = b + c + (2 * n - b + c) * margin
    most_likely = (linear + np.sqrt(np.maximum(linear**2 - 8 * n * c * margin * (1 + margin), 0))) / (4 * n)
    variance = n * (2 * most_likely - margin * (1 + margin))
    return np.where(variance > 0, (b - c + n * margin) / np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0)


def _effect(cluster_size: float, correlation: float) -> float:
    if cluster_size < 1 or not 0 <= correlation <= 1:
        raise ValueError(f"expected cluster_size >= 1, correlation 0..1, found {cluster_size} and {correlation}")
    return 1 + (cluster_size - 1) * correlation


def _shares(gained: float, lost: float) -> tuple[float, float]:
    if gained < 0 or lost < 0 or not 0 < gained + lost <= 1:
        raise ValueError(f"gained, lost: expected shares of all pairs, together 0..1, found {gained} and {lost}")
    return gained + lost, abs(gained - lost)
