"""Verdicts against labels. A verdict is True, False or None (unjudged); a label is True or False.

Rates and kappa are over what was judged; what was not is counted apart, and once more as wrong (`strict`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING

from proofglass.evaluation.labels import LabelledReply
from proofglass.evaluation.statistics import clustered_rates
from proofglass.evaluation.statistics.clusters import ClusterTotals, numbered
from proofglass.evaluation.statistics.quantiles import student_quantile

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95
Verdict = bool | None


@dataclass(frozen=True)
class Estimate:
    """A rate in 0..1 or a kappa in -1..1 and its 95 % interval, all None where there is nothing to estimate from.
    n: rows it rests on; clusters: questions among them."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int


@dataclass(frozen=True)
class Agreement:
    """Verdicts against labels. found, missed: judged rows whose label is yes; wrong, right: whose label is no.

    n: rows; yes: those whose label is yes; coverage: share of the rows that was judged; accuracy, sensitivity,
    specificity, kappa: over the judged ones; strict: accuracy over all, an unjudged row counted as wrong.
    """

    n: int
    yes: int
    unjudged: int
    found: int
    missed: int
    wrong: int
    right: int
    coverage: Estimate
    accuracy: Estimate
    strict: Estimate
    sensitivity: Estimate
    specificity: Estimate
    kappa: Estimate


def agreement(truth: Sequence[bool], verdicts: Sequence[Verdict], clusters: Sequence[Hashable]) -> Agreement:
    """Agreement of `verdicts` with `truth`, row by row; rows of one cluster share a question. Raises ValueError for
    different lengths."""
    rows = list(zip(truth, verdicts, clusters, strict=True))
    judged = [(label, said, cluster) for label, said, cluster in rows if said is not None]
    where = [cluster for _, _, cluster in judged]
    cells = {
        (yes, said): sum(row[:2] == (yes, said) for row in judged) for yes in (True, False) for said in (True, False)
    }
    return Agreement(
        n=len(rows),
        yes=sum(label for label, _, _ in rows),
        unjudged=len(rows) - len(judged),
        found=cells[True, True],
        missed=cells[True, False],
        wrong=cells[False, True],
        right=cells[False, False],
        coverage=rate([said is not None for _, said, _ in rows], [row[2] for row in rows]),
        accuracy=rate([label == said for label, said, _ in judged], where),
        strict=rate([label == said for label, said, _ in rows], [row[2] for row in rows]),
        sensitivity=rate(*_of([(bool(said), cluster) for label, said, cluster in judged if label])),
        specificity=rate(*_of([(not said, cluster) for label, said, cluster in judged if not label])),
        kappa=kappa([label for label, _, _ in judged], [said for _, said, _ in judged], where),
    )


def _of(pairs: Sequence[tuple[bool, Hashable]]) -> tuple[list[bool], list[Hashable]]:
    return [value for value, _ in pairs], [cluster for _, cluster in pairs]


def sliced(
    rows: Sequence[LabelledReply], verdicts: Sequence[Verdict], aspect: str, key: Callable[[LabelledReply], str]
) -> dict[str, Agreement]:
    """Agreement per value of `key`, in the order of their names; rows whose key is "" are left out."""
    names = sorted({name for row in rows if (name := key(row))})
    return {
        name: _agreement_of([(row, said) for row, said in zip(rows, verdicts, strict=True) if key(row) == name], aspect)
        for name in names
    }


def _agreement_of(pairs: Sequence[tuple[LabelledReply, Verdict]], aspect: str) -> Agreement:
    return agreement(
        [row.truth[aspect] >= 0.5 for row, _ in pairs], [said for _, said in pairs], [row.cluster for row, _ in pairs]
    )


def ceiling(rows: Sequence[LabelledReply], aspect: str) -> tuple[Estimate, Estimate] | None:
    """(share of equal labels, kappa) between the people who labelled the same reply: what a judge can be held to at
    most. All pairs of raters count, those of one reply as one cluster with its question. None without two raters."""
    pairs = [
        (first, second, row.cluster)
        for row in rows
        for first, second in combinations([label >= 0.5 for label in row.raters.get(aspect, ())], 2)
    ]
    if not pairs:
        return None
    first, second, clusters = (list(column) for column in zip(*pairs, strict=True))
    return rate([a == b for a, b in zip(first, second, strict=True)], clusters), kappa(first, second, clusters)


def rate(values: Sequence[bool], clusters: Sequence[Hashable]) -> Estimate:
    """The share of True with its interval; clusters: of each value."""
    if not values:
        return Estimate(None, None, None, 0, 0)
    value = sum(values) / len(values)
    low, high = _share_interval(values, clusters)
    return Estimate(value, low, high, len(values), len(set(clusters)))


def _share_interval(values: Sequence[bool], clusters: Sequence[Hashable]) -> tuple[float, float]:
    """The interval of the share of True, as of every rate: see `statistics.clustered_rates`."""
    import numpy as np

    index = numbered(clusters)
    found = clustered_rates(ClusterTotals.of(np.zeros_like(index), index, np.asarray(values, float), 1), LEVEL)
    return float(found.low[0]), float(found.high[0])


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Cohen's kappa of two raters of the same rows; None where both gave one and the same label throughout, or without
    rows. Source: Cohen 1960; equals scikit-learn's `cohen_kappa_score` (there NaN for None)."""
    return kappa(first, second, range(len(first))).value


def kappa(first: Sequence[Hashable], second: Sequence[Hashable], clusters: Sequence[Hashable]) -> Estimate:
    """Cohen's kappa with an interval that leaves out one cluster at a time (jackknife; Student's t, clusters - 1).

    Few disagreements move a jackknife too little, so each end is the wider one of that interval and of the one for the
    share of agreement, carried over at the chance agreement that was seen.
    """
    import numpy as np

    if not first:
        return Estimate(None, None, None, 0, 0)
    index = numbered(clusters)
    k = int(index.max()) + 1
    labels: dict[Hashable, int] = {}
    a, b = (np.array([labels.setdefault(label, len(labels)) for label in rater]) for rater in (first, second))
    tables = np.zeros((k, len(labels), len(labels)))
    np.add.at(tables, (index, a, b), 1)
    total = tables.sum(0)
    (value,), (chance,) = _kappas(total[None])
    if np.isnan(value):
        return Estimate(None, None, None, len(first), k)
    agree = _share_interval([x == y for x, y in zip(first, second, strict=True)], clusters)
    low, high = ((end - chance) / (1 - chance) for end in agree)
    if k > 2:
        without, _ = _kappas(total - tables)
        without = without[~np.isnan(without)]
        half = student_quantile(LEVEL, k - 1) * sqrt((k - 1) / k * float(((without - without.mean()) ** 2).sum()))
        low, high = min(low, value - half), max(high, value + half)
    return Estimate(float(value), max(-1.0, float(low)), min(1.0, float(high)), len(first), k)


def _kappas(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(kappa, chance agreement) of tables of counts, [t, L, L]; NaN where chance agreement is 1 or there is no row."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        shares = tables / tables.sum((1, 2), keepdims=True)
        chance = (shares.sum(1) * shares.sum(2)).sum(1)
        agree = shares.diagonal(axis1=1, axis2=2).sum(1)
        return np.where(chance < 1, (agree - chance) / (1 - chance), np.nan), chance
