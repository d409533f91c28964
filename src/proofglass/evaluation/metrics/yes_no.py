"""Yes-or-no questions: accuracy, precision, recall, F1 and the share of yes. Yes is the positive answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from proofglass.evaluation.metrics.estimates import share
from proofglass.interfaces import Measure, Metric, Paper

if TYPE_CHECKING:
    import polars as pl

JUDGE = "yes-no"
Figure = Literal["accuracy", "accuracy of all", "precision", "recall", "f1", "share of yes"]


@dataclass(frozen=True)
class YesNo(Metric):
    """One of the figures of POPE over what the judge `yes-no` read. Without a denominator it is none, never 0.

    figure: accuracy (right among the replies that say yes or no), accuracy of all (a reply that says neither is wrong),
    precision (right among those that say yes), recall (yes where yes is right), f1, share of yes (among all).

    As Tu et al. 2023's code computes them (theirs divides by zero where ours says none). Invalid replies are in the
    denominator of the share of yes alone, as there, so a victim that evades looks better by accuracy than it is: see
    accuracy of all. Replies that failed or were withheld are left out of all.

    Each is a share of some rows; f1 = 2 TP / (2 TP + FP + FN) grows with the share TP / (TP + FP + FN), whose interval
    is carried over.
    """

    name = "yes-no"
    settled = ("figure",)
    paper = Paper(
        "Li et al. 2023", "Evaluating Object Hallucination in Large Vision-Language Models", "arXiv:2305.10355"
    )
    needs = (JUDGE,)

    figure: Figure = "f1"

    def over(self, rows: pl.DataFrame) -> Measure:
        import polars as pl

        label, score = pl.col(f"label:{JUDGE}"), pl.col(f"score:{JUDGE}")
        said_yes, right = label == "yes", score == 1
        answered = label.is_in(["yes", "no"]) & score.is_not_null()
        seen = answered | (label == "invalid")
        among, hit = {
            "accuracy": (answered, right),
            "accuracy of all": (seen, answered & right),
            "precision": (answered & said_yes, right),
            "recall": (answered & (said_yes == right), said_yes),
            "f1": (answered & (said_yes | ~right), right),
            "share of yes": (seen, answered & said_yes),
        }[self.figure]
        mine = rows.filter(among.fill_null(value=False)).with_columns(hit=hit.fill_null(value=False))
        found = share(mine, "hit", f"no reply that {self.figure} is a share of")
        return _from_jaccard(found) if self.figure == "f1" else found


def _from_jaccard(found: Measure) -> Measure:
    """F1 of a Jaccard index: 2 J / (1 + J)."""
    ends = {name: 2 * end / (1 + end) for name in ("value", "low", "high") if (end := getattr(found, name)) is not None}
    return replace(found, **ends)
