"""What makes many rows worth fewer: questions that rows share, and models that a judge errs on differently."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING

from proofglass.evaluation.statistics.clusters import ClusterTotals, effective_rows
from proofglass.evaluation.statistics.quantiles import normal_quantile, student_quantile

if TYPE_CHECKING:
    import numpy as np


def design_effect(
    influence: np.ndarray, scale: np.ndarray, clusters: np.ndarray, rate: float, level: float = 0.95
) -> float:
    """How many times larger the variance of an estimate is because rows share questions; at least 1.

    influence: float [rows], what each row adds to the estimate beyond its share, summing to about 0 (its linear part);
    scale: how large it is for such a row, >= 0, whatever it turned out to be; clusters: int [rows], codes from 0; rate:
    the estimate, 0..1. A mean of yes and no (influence: value - rate, scale 1) has exactly the effect of
    `statistics.clustered_rates`.
    Source: `statistics.clusters.effective_rows`, on the linearised variance of clustered samples (Binder 1983).
    """
    import numpy as np

    rows = scale > 0
    if not rows.any():
        return 1.0
    _, codes = np.unique(clusters[rows], return_inverse=True)
    # In units in which rows count as many as they are (Kish 1965) and vary as yes and no do.
    weight = scale[rows] * scale[rows].sum() / (scale[rows] ** 2).sum()
    n, square = weight.sum(), float((influence[rows] ** 2).sum())
    moved = influence[rows] * (sqrt(rate * (1 - rate) * n / square) if square else 0.0)
    sums, squares, counts = (np.bincount(codes, weights=each) for each in (moved, moved**2, weight))
    totals = ClusterTotals(np.zeros(len(counts), int), sums, squares, counts, 1)
    worth = effective_rows(totals, np.zeros(1), np.array([rate * (1 - rate) if square else 0.0]), level)
    return float(n / worth[0])


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
    wide = student_quantile(level, groups - 1) / normal_quantile(level)
    return 1 / (correlation * (1 + 1 / groups) * wide**2 + (1 - correlation) / rows)
