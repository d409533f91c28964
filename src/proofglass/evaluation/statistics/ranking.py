"""The area under a ROC curve, and average precision, of numbers that should be higher where yes is right; intervals.

Rows of one cluster (question) are kept together: the bootstrap draws clusters.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.evaluation.statistics.bootstrap import LEVEL, bootstrap_rows
from proofglass.evaluation.statistics.clusters import numbered
from proofglass.evaluation.statistics.quantiles import normal_quantile

if TYPE_CHECKING:
    import numpy as np

FEW = 10  # questions of a class below which a bootstrap of them is not believed
Ends = tuple[float, float] | None


@dataclass(frozen=True)
class Ranked:
    """Rows by falling value. order: their places; ends: the last place of each run of equal values; label: bool, in
    that order; values: of the runs."""

    order: np.ndarray
    ends: np.ndarray
    label: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, label: np.ndarray, value: np.ndarray) -> Ranked:
        """label: bool [n], n >= 1; value: float [n]."""
        import numpy as np

        order = np.argsort(-value, kind="stable")
        falling = value[order]
        ends = np.r_[np.flatnonzero(np.diff(falling)), len(falling) - 1]
        return cls(order, ends, label[order], falling[ends])

    def counted(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(true, false) flagged rows at each threshold, from the highest on; weights: how often each row counts."""
        import numpy as np

        ordered = weights[self.order]
        return np.cumsum(ordered * self.label)[self.ends], np.cumsum(ordered * ~self.label)[self.ends]

    def areas(self, weights: np.ndarray) -> tuple[float, float]:
        """(AUROC, average precision), ties counted half; NaN where a class is missing. Equal scikit-learn's
        `roc_auc_score` and `average_precision_score`."""
        import numpy as np

        true, false = self.counted(weights)
        if not true[-1] or not false[-1]:
            return np.nan, np.nan
        more_true, more_false = np.diff(true, prepend=0.0), np.diff(false, prepend=0.0)
        under = float((more_false * (true - more_true / 2)).sum() / (true[-1] * false[-1]))
        flagged = true + false
        precision = np.divide(true, flagged, out=np.zeros_like(true), where=flagged > 0)
        return under, float((more_true * precision).sum() / true[-1])

    def curve(self) -> tuple[tuple[float, float, float], ...]:
        import numpy as np

        true, false = self.counted(np.ones(len(self.order)))
        steps = np.diff(np.c_[np.r_[0.0, false], np.r_[0.0, true]], axis=0)
        straight = steps[:-1, 0] * steps[1:, 1] == steps[:-1, 1] * steps[1:, 0]
        turns = np.r_[~straight, True]
        points = np.c_[self.values, false / false[-1], true / true[-1]][turns]
        return tuple((float(t), float(x), float(y)) for t, x, y in points)


def auroc(label: np.ndarray, value: np.ndarray, clusters: Iterable[Hashable]) -> tuple[float, Ends]:
    """The area and its 95 % interval: each end is the wider one of a bootstrap over clusters and of `newcombe`, on as
    many independent rows as they are worth, since a bootstrap knows nothing of errors that it has not seen and is too
    narrow near 1. label: bool [n], value: float [n]. NaN and None where a class is missing."""
    import numpy as np

    ranked, cluster = Ranked.of(label, value), numbered(clusters)
    area = ranked.areas(np.ones(len(label)))[0]
    if np.isnan(area):
        return area, None
    of_class, is_few = _questions(label, cluster)
    ends = bootstrap_rows(cluster.tolist(), lambda weights: ranked.areas(weights)[0])
    rows = [int(label.sum()), int((~label).sum())]
    design = 1.0  # by which the variance of independent rows is multiplied: the design effect
    if ends is not None and not is_few and 0 < area < 1:
        spread = ((ends[1] - ends[0]) / (2 * normal_quantile(LEVEL))) ** 2
        design = max(1.0, spread / _variance(area, *rows))
    worth = [own if ends is None or is_few else max(own, n / design) for own, n in zip(of_class, rows, strict=True)]
    wide = newcombe(area, *worth)
    low, high = wide if ends is None else (min(ends[0], wide[0]), max(ends[1], wide[1]))
    return area, (min(low, area), max(high, area))


def average_precision(label: np.ndarray, value: np.ndarray, clusters: Iterable[Hashable]) -> tuple[float, Ends]:
    """The same of average precision. It has no second interval to lean on: that of the bootstrap alone, and none where
    fewer than `FEW` questions are labelled yes or no."""
    import numpy as np

    ranked, cluster = Ranked.of(label, value), numbered(clusters)
    area = ranked.areas(np.ones(len(label)))[1]
    ends = bootstrap_rows(cluster.tolist(), lambda weights: ranked.areas(weights)[1])
    if ends is None or _questions(label, cluster)[1]:
        return area, None
    return area, (min(ends[0], area), max(ends[1], area))


def _questions(label: np.ndarray, cluster: np.ndarray) -> tuple[list[int], bool]:
    """How many clusters each class has, and whether one has few."""
    import numpy as np

    of_class = [len(np.unique(cluster[side])) for side in (label, ~label)]
    return of_class, min(of_class) < FEW


def newcombe(area: float, yes: float, no: float) -> tuple[float, float]:
    """The interval of an AUROC over so many independent rows of each class: the values from which what was seen is not
    further than z of their own standard errors, as Wilson's is for a rate; never [1, 1].

    Source: Newcombe 2006, Statistics in Medicine 25, 559-573, method 5; the variance is Hanley and McNeil's (1982).
    """
    z = normal_quantile(LEVEL)

    def is_near(value: float) -> bool:
        return (area - value) ** 2 <= z * z * _variance(value, yes, no)

    def end(far: float) -> float:
        near = area
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (middle, far) if is_near(middle) else (near, middle)
        return near

    return end(0.0), end(1.0)


def _variance(area: float, yes: float, no: float) -> float:
    """Of an AUROC over so many independent rows, after Hanley and McNeil, both classes given their mean number."""
    more = max(0.0, (yes + no) / 2 - 1)
    return area * (1 - area) * (1 + more * ((1 - area) / (2 - area) + area / (1 + area))) / (yes * no)
