"""A rate corrected by a judge's error rates: point, two intervals, and how to spend labels on the two rates."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from proofglass.evaluation.statistics.quantiles import normal_quantile


@dataclass(frozen=True)
class ErrorRates:
    """Sensitivity from `positives` truly positive replies, specificity from `negatives` others; rates in 0..1. The
    numbers may be fractions: what the labels are worth where they depend on each other."""

    sensitivity: float
    specificity: float
    positives: float
    negatives: float

    def __post_init__(self) -> None:
        for name, value in (("sensitivity", self.sensitivity), ("specificity", self.specificity)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name}: expected 0..1, found {value}")
        for name, value in (("positives", self.positives), ("negatives", self.negatives)):
            if value < 0:
                raise ValueError(f"{name}: expected a number of labels, found {value}")

    @property
    def gain(self) -> float:
        """sensitivity + specificity - 1: how far the verdict moves with the truth; 0 is chance."""
        return self.sensitivity + self.specificity - 1

    @property
    def smoothed(self) -> ErrorRates:
        """One success and one failure more for each rate, as Lee et al. do before they form an interval."""
        return ErrorRates(
            (self.positives * self.sensitivity + 1) / (self.positives + 2),
            (self.negatives * self.specificity + 1) / (self.negatives + 2),
            self.positives + 2,
            self.negatives + 2,
        )


def rogan_gladen(rate: float, errors: ErrorRates) -> float:
    """The true rate behind the share `rate` of positive verdicts: (rate + sp - 1) / (se + sp - 1), clipped to [0, 1].

    Raises ValueError for a judge no better than chance (se + sp <= 1): no verdict then says anything about the truth.
    Source: Rogan and Gladen 1978, American Journal of Epidemiology 107.
    """
    _check(rate, errors)
    return min(1.0, max(0.0, (rate + errors.specificity - 1) / errors.gain))


def delta_interval(rate: float, n: int, errors: ErrorRates, level: float = 0.95) -> tuple[float, float]:
    """The delta method around `rogan_gladen`, clipped: for large counts only, it is [0, 0] where no verdict was yes.

    rate: share of positive verdicts among n. Raises as `rogan_gladen`, and for counts below 1.
    """
    theta = rogan_gladen(rate, errors)
    _check_counts(n, errors)
    half = normal_quantile(level) * _error(theta, rate, n, errors)
    return max(0.0, theta - half), min(1.0, theta + half)


def lee_interval(rate: float, n: float, errors: ErrorRates, level: float = 0.95) -> tuple[float, float]:
    """The interval of Lee et al.: every rate smoothed before the delta method, and the middle moved for it; clipped.

    rate: share of positive verdicts among n. Raises ValueError where the smoothed judge is no better than chance.
    Source: Lee et al. 2025, arXiv:2511.21140, section 3 and their code.
    """
    z = normal_quantile(level)
    errors = errors.smoothed
    smooth = (n * rate + z * z / 2) / (n + z * z)
    _check(smooth, errors)
    theta = (smooth + errors.specificity - 1) / errors.gain
    se, sp = errors.sensitivity, errors.specificity
    shift = 2 * z * z * (theta * se * (1 - se) / errors.positives - (1 - theta) * sp * (1 - sp) / errors.negatives)
    half = z * _error(theta, smooth, n + z * z, errors)
    return max(0.0, min(1.0, theta + shift - half)), min(1.0, max(0.0, theta + shift + half))


def calibration_split(budget: int, rate: float, pilot: ErrorRates, *, least: int = 10) -> tuple[int, int]:
    """How many truly positive and how many other replies to label, of `budget`, so that `lee_interval` is narrow.

    rate: share of positive verdicts, 0 < rate < 1; pilot: error rates from a first few labels; least: of each.
    Raises ValueError for a budget below twice `least`.
    Source: Lee et al. 2025, algorithm 1: positives = m / (1 + (1 / rate - 1) sqrt(kappa)), kappa the ratio of the
    smoothed rates of error. They take one pilot size for both rates; here each rate is smoothed with its own.
    """
    if budget < 2 * least:
        raise ValueError(f"budget: expected at least {2 * least} (a pilot of {least} for each rate), found {budget}")
    if not 0 < rate < 1:
        raise ValueError(f"rate: expected 0 < rate < 1, found {rate}; with one verdict only there is nothing to split")
    false_yes = (pilot.negatives * (1 - pilot.specificity) + 1) / max(pilot.negatives, 1)
    false_no = (pilot.positives * (1 - pilot.sensitivity) + 1) / max(pilot.positives, 1)
    positives = round(budget / (1 + (1 / rate - 1) * sqrt(false_yes / false_no)))
    positives = min(budget - least, max(least, positives))
    return positives, budget - positives


def _error(theta: float, rate: float, n: float, errors: ErrorRates) -> float:
    """Standard error by the delta method, of rate, specificity and sensitivity together."""
    se, sp = errors.sensitivity, errors.specificity
    variance = rate * (1 - rate) / n
    variance += theta**2 * se * (1 - se) / errors.positives + (1 - theta) ** 2 * sp * (1 - sp) / errors.negatives
    return sqrt(variance) / errors.gain


def _check(rate: float, errors: ErrorRates) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f"rate: expected 0..1, found {rate}")
    if errors.gain <= 0:
        both = errors.sensitivity + errors.specificity
        raise ValueError(f"sensitivity + specificity: expected more than 1, found {both:.4g}: no better than chance")


def _check_counts(n: float, errors: ErrorRates) -> None:
    if min(n, errors.positives, errors.negatives) < 1:
        raise ValueError("n, positives, negatives: expected at least 1 of each")
