"""What makes many rows worth fewer: questions that rows share, and models that a judge errs on differently."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def z_of(level: float) -> float:
    """Quantile of the normal distribution for a two-sided interval; 1.96 for 0.95."""
    if not 0 < level < 1:
        raise ValueError(f"level: expected 0 < level < 1, found {level}")
    return NormalDist().inv_cdf((1 + level) / 2)


def student(level: float, freedom: int) -> float:
    """The same quantile of Student's t, within 1 % from 3 degrees of freedom on (3 % at 2).

    Source: Abramowitz and Stegun, 26.7.5 (expansion in 1 / freedom, four terms). Raises ValueError below 2.
    """
    if freedom < 2:
        raise ValueError(f"freedom: expected at least 2, found {freedom}")
    z, v = z_of(level), freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )


def design_effect(influence: np.ndarray, clusters: np.ndarray) -> float:
    """How many times larger the variance of an estimate is because rows share questions; at least 1.

    influence: float [rows], what each row adds to the estimate beyond its share, summing to about 0 (its linear part);
    clusters: int [rows], codes from 0. Few clusters vary more than they show: the quotient is raised by C / (C - 1)
    and by Student's quantile with C - 1 degrees of freedom. Where no row moves the estimate nothing can be seen, and
    rows of a cluster count as one.
    Source: the linearised variance of clustered samples (Kish 1965; Binder 1983).
    """
    import numpy as np

    moved = influence != 0
    sizes = np.bincount(clusters)
    count = int((sizes > 0).sum())
    if count == len(clusters):
        return 1.0
    if not moved.any() or count < 3:
        return len(clusters) / count
    between = (np.bincount(clusters, weights=influence) ** 2).sum() * count / (count - 1)
    wide = student(0.95, count - 1) / z_of(0.95)
    return max(1.0, float(between / (influence**2).sum() * wide**2))


def spread(counts: Sequence[Sequence[tuple[float, float]]]) -> float:
    """How much a rate differs between models beyond chance: the intraclass correlation of yes/no rows, 0..1.

    counts: per stratum one (hits, rows) per model; strata have rates of their own, and their sums of squares are
    added. 0 where fewer than two models have rows, or none differs.
    Source: the analysis-of-variance estimator (Fleiss 1981; Ridout, Demétrio and Firth 1999), pooled over strata.
    """
    between = within = freedom = rest = size = 0.0
    for stratum in counts:
        held = [(hits, rows) for hits, rows in stratum if rows > 0]
        total = sum(rows for _, rows in held)
        if len(held) < 2 or total <= len(held):
            continue
        mean = sum(hits for hits, _ in held) / total
        between += sum(rows * (hits / rows - mean) ** 2 for hits, rows in held)
        within += sum(hits * (1 - hits / rows) for hits, rows in held)
        freedom += len(held) - 1
        rest += total - len(held)
        size += total - sum(rows**2 for _, rows in held) / total
    if not freedom or not rest:
        return 0.0
    a, b, usual = between / freedom, within / rest, size / freedom
    whole = a + (usual - 1) * b
    return min(1.0, max(0.0, (a - b) / whole)) if whole > 0 else 0.0


def worth(rows: float, correlation: float, groups: int, level: float = 0.95) -> float:
    """How many independent rows say as much about a *new* group as `rows` rows of `groups` groups do.

    The rate of a new group differs from the mean by its own deviation and by that of the mean: 1 / worth =
    correlation (1 + 1 / groups) (t / z)^2 + (1 - correlation) / rows. It never exceeds 1 / correlation.
    """
    if rows <= 0:
        return 0.0
    if correlation <= 0 or groups < 3:
        return rows
    wide = student(level, groups - 1) / z_of(level)
    return 1 / (correlation * (1 + 1 / groups) * wide**2 + (1 - correlation) / rows)
