"""The counts by which a judge was compared with people, as error rates that may be carried to another model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING

from proofglass.evaluation.correction.effects import spread, worth
from proofglass.evaluation.statistics.quantiles import normal_quantile
from proofglass.interfaces import Calibration

if TYPE_CHECKING:
    from collections.abc import Hashable

    from proofglass.evaluation.correction.result import Verdict

FEW = 5  # positive, or negative, labels of a kind below which it takes the rate of all kinds
FEWEST = 20  # labels below which nothing is carried over
MODELS = 3  # models from which on it can be estimated how they differ
SURE = 0.90  # two-sided level at which sensitivity + specificity must exceed 1: 95 % one-sided


@dataclass(frozen=True)
class Rate:
    """The share `right` of right verdicts among `rows` labels; between: variance that a new model adds; part: of the
    one success and one failure by which Lee et al. smooth, what falls to this rate."""

    right: float
    rows: float
    between: float
    part: float

    @property
    def smoothed(self) -> Rate:
        rows = self.rows + 2 * self.part
        return replace(self, right=(self.rows * self.right + self.part) / rows, rows=rows)

    @property
    def variance(self) -> float:
        """Of one label."""
        return self.right * (1 - self.right)


@dataclass(frozen=True)
class Table:
    """Calibration counts at one level of confidence."""

    counts: tuple[Calibration, ...]
    level: float

    @classmethod
    def of(cls, counts: Iterable[Calibration], level: float = 0.95) -> Table:
        return cls(tuple(counts), level)

    @property
    def labels(self) -> int:
        return sum(c.positives + c.negatives for c in self.counts)

    @property
    def questions(self) -> int:
        """At most so many: models of one set may have been asked the same."""
        return sum(c.clusters or c.positives + c.negatives for c in self.counts)

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(c.model for c in self.counts))

    @property
    def refusal(self) -> str:
        """Why nothing may be carried over from these counts, "" if it may."""
        positives, negatives = (sum(self._seen(c, side)[1] for c in self.counts) for side in (True, False))
        if self.labels < FEWEST or min(positives, negatives) < FEW:
            return (
                f"too few labels to carry over: {self.labels}, of them {positives:.0f} positive; needed are {FEWEST}, "
                f"{FEW} of each"
            )
        se, sp = self.rate(True), self.rate(False)
        error = sqrt(sum(rate.variance / rate.rows for rate in (se.smoothed, sp.smoothed)))
        if se.right + sp.right - 1 <= normal_quantile(SURE) * error:
            return (
                f"refused as a basis: sensitivity {se.right:.2f} + specificity {sp.right:.2f} = "
                f"{se.right + sp.right:.2f} is not clearly above 1 (chance) on {self.labels} labels"
            )
        return ""

    @property
    def doubt(self) -> str:
        """What the interval leaves out, "" if nothing."""
        if len(self.models) >= MODELS:
            return ""
        return (
            f"calibrated on {len(self.models)} model{'s' * (len(self.models) > 1)}: how far the judge's errors differ "
            "between models is not in this interval, read it as too narrow"
        )

    def known(self, kinds: Sequence[str]) -> list[str]:
        """`kinds` as strata: one that the counts do not know is pooled, and all are where kinds cannot be corrected one
        by one, since in some the verdict is always the same (a kind that *is* the verdict)."""
        held = {c.kind for c in self.counts} - {""}
        mixed = any(sum(c.tp + c.fp for c in mine) and sum(c.fn + c.tn for c in mine) for mine in map(self._of, held))
        if not mixed or any(self.rate(True, kind).right + self.rate(False, kind).right <= 1 for kind in held):
            return [""] * len(kinds)
        return [kind if kind in held else "" for kind in kinds]

    def _of(self, kind: str) -> list[Calibration]:
        return [c for c in self.counts if c.kind == kind]

    def rate(self, side: bool, kind: str = "") -> Rate:
        """Sensitivity (side True) or specificity of a kind; of all kinds for "" and where the kind has few labels."""
        every = self._per_model(side, "")
        mine = self._per_model(side, kind) if kind else every
        if sum(rows for _, rows in mine) < FEW:
            mine = every
        hits, rows = (sum(each) for each in zip(*mine, strict=True))
        right = hits / rows if rows else 0.0
        return Rate(
            right, rows, self._between(side) * right * (1 - right), rows / sum(r for _, r in every) if rows else 1.0
        )

    def _between(self, side: bool) -> float:
        """The part of a rate's variance of one reply that a new model brings, pooled over kinds."""
        correlation = spread([self._per_model(side, kind) for kind in dict.fromkeys(c.kind for c in self.counts)])
        models = len(self.models)
        return 1 / worth(float("inf"), correlation, models, self.level) if correlation and models >= MODELS else 0.0

    def _per_model(self, side: bool, kind: str) -> list[tuple[float, float]]:
        """(right verdicts, labels) of each model, of this kind; "" for all kinds."""
        found = dict.fromkeys(self.models, (0.0, 0.0))
        for c in self.counts:
            if kind in ("", c.kind):
                hits, rows = self._seen(c, side)
                found[c.model] = found[c.model][0] + hits, found[c.model][1] + rows
        return list(found.values())

    @staticmethod
    def _seen(c: Calibration, side: bool) -> tuple[float, float]:
        """(right verdicts, labels) of one truth; replies that share a question count as one, the safe reading."""
        total = c.positives + c.negatives
        scale = min(1.0, c.clusters / total) if c.clusters and total else 1.0
        hits, rows = (c.tp, c.positives) if side else (c.tn + c.unjudged_no, c.negatives)
        return hits * scale, rows * scale


def calibrations_of(
    verdicts: Sequence[Verdict],
    truths: Sequence[float],
    *,
    data: str,
    models: Sequence[str],
    model_kind: str,
    kinds: Sequence[str] | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> tuple[Calibration, ...]:
    """Labelled replies as the counts of a judge's card, one per model and kind, in order of appearance.

    truths: 1.0 or 0.0; kinds: predicted. Raises ValueError for another truth or verdict.
    """
    found: dict[tuple[str, str], dict[str, int]] = {}
    asked: dict[tuple[str, str], set[Hashable]] = {}
    names = {("yes", 1.0): "tp", ("no", 1.0): "fn", ("yes", 0.0): "fp", ("no", 0.0): "tn"}
    names |= {("unjudged", 1.0): "unjudged_yes", ("unjudged", 0.0): "unjudged_no"}
    for k, (verdict, truth, model) in enumerate(zip(verdicts, truths, models, strict=True)):
        if (verdict, truth) not in names:
            raise ValueError(f"reply {k}: expected yes, no or unjudged and 1.0 or 0.0, found {verdict!r} and {truth!r}")
        place = (model, kinds[k] if kinds is not None else "")
        cell = found.setdefault(place, dict.fromkeys(names.values(), 0))
        cell[names[verdict, truth]] += 1
        asked.setdefault(place, set()).add(clusters[k] if clusters is not None else k)
    return tuple(
        Calibration(data, model_kind, model, kind, **cell, clusters=len(asked[model, kind]))
        for (model, kind), cell in found.items()
    )
