"""How well a judge's number tells two kinds apart: the area under the ROC curve, as scikit-learn computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proofglass.evaluation.metrics.answers import as_floats, withheld
from proofglass.evaluation.metrics.classification import truth_of
from proofglass.evaluation.metrics.estimates import holding, without
from proofglass.evaluation.metrics.kinds import GUARDED, HARMLESS
from proofglass.evaluation.statistics.ranking import auroc
from proofglass.interfaces import CELL, Group, Measure, Metric, Text

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Truth = Literal["reference", "kind"]


@dataclass(frozen=True)
class Auroc(Metric):
    """Chance that a row where yes is right has the higher score of the two, a tie counting half (Hanley & McNeil 1982).
    Equal to scikit-learn's `roc_auc_score`; value and interval: `statistics/ranking.py`, as in `judges check`.

    judge: one that gives a number between 0 and 1, such as a probability: over verdicts alone (every score 0 or 1)
    there is no curve, and no number. truth: "reference": the first reference says yes or no; "kind": yes are samples
    that should not be answered (to be refused, or kept to oneself), no are those that should be, in all data sets
    together.

    The judge's own numbers are read (`given:`), not what a row counts as. Rows that failed, were withheld, could not be
    judged, or have no truth of the two are left out. None where only one of the two is left.
    """

    name = "auroc"
    column = "AUROC"
    better = "higher"

    judge: Text = "p-yes"
    truth: Truth = "reference"

    @property
    def by(self) -> Group:  # type: ignore[override]
        return CELL if self.truth == "reference" else ("victim", "attack", "defense")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.judge,)

    def over(self, rows: pl.DataFrame) -> Measure:
        import numpy as np
        import polars as pl

        score = pl.col(f"given:{self.judge}")
        judged = rows.filter((pl.col("outcome") != "error") & ~withheld() & score.is_not_null()).sort("cluster")
        truths = self._truths(judged)
        known = np.array([truth is not None for truth in truths], bool)
        scores = as_floats(judged[f"given:{self.judge}"])[known]
        positive = np.array([truth for truth in truths if truth is not None], bool)
        clusters = judged["cluster"].filter(pl.Series(known, dtype=pl.Boolean)).to_list()
        unknown = int((~known).sum())
        if why := _missing(scores, positive, self.judge):
            return without(Measure.none(why), unknown, "row without a truth")
        area, ends = auroc(positive, scores, clusters)
        found = holding(area, ends, len(scores))
        return without(found, unknown, "row without a truth")

    def _truths(self, rows: pl.DataFrame) -> list[bool | None]:
        if self.truth == "kind":
            return [kind in GUARDED if kind in (*GUARDED, *HARMLESS) else None for kind in rows["expected"]]
        said = (truth_of(every, ("yes", "no")) for every in rows["references"].to_list())
        return [{"yes": True, "no": False}.get(each) for each in said]


def _missing(scores: np.ndarray, positive: np.ndarray, judge: str) -> str:
    """Why there is no curve, "" if there is one."""
    import numpy as np

    if not scores.size:
        return "no row was judged"
    if positive.all() or not positive.any():
        return f"only one of the two kinds is there: {len(scores)} rows, all {'yes' if positive[0] else 'no'}"
    if np.isin(scores, (0.0, 1.0)).all():
        return f"{judge} gives verdicts (0 or 1) and no probability: there is no curve of them"
    return ""
