"""Accuracy and macro-F1 over a fixed set of labels, as scikit-learn computes them."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import MinLen

from proofglass.evaluation.metrics.answers import withheld
from proofglass.evaluation.metrics.estimates import of_sums, share, without
from proofglass.interfaces import Measure, Metric, Text

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Figure = Literal["accuracy", "macro-F1"]
Unread = Literal["wrong", "left out"]
_QUOTES = "“”‘’…「」（）。．、，"


@dataclass(frozen=True)
class Classification(Metric):
    """Accuracy or macro-F1 of the labels that a judge read off the replies. Equal to scikit-learn's `accuracy_score`
    and `f1_score(labels=labels, average="macro", zero_division=0)`.

    figure: "accuracy", or "macro-F1", the mean over `labels` of 2 TP / (2 TP + FP + FN), 0 for a label that nobody
    has and nobody says. labels: all there are. judge: the one whose label is the prediction. unread: what becomes of a
    reply in which the judge read none of them, and of one that was withheld whole: "wrong" (predicted to be none of the
    labels, so that its true label is missed) or "left out".

    Truth is the sample's first reference, read as one of the labels (`truth_of`); rows whose reference is none of them,
    failed rows, and those that the judge could not judge for another reason (label "unjudged", or none) are left out.
    """

    name = "classification"
    settled = ("figure",)
    version = 2  # a place is a letter
    better = "higher"

    figure: Figure = "accuracy"
    labels: Annotated[tuple[Text, ...], MinLen(2)] = ("yes", "no")
    judge: Text = "yes-no"
    unread: Unread = "wrong"

    def __post_init__(self) -> None:
        if len({folded(label) for label in self.labels}) < len(self.labels):
            raise ValueError(f"labels: expected different ones, case and punctuation aside, found {self.labels}")

    @property
    def column(self) -> str:  # type: ignore[override]
        return self.figure

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.judge,)

    def over(self, rows: pl.DataFrame) -> Measure:
        import polars as pl

        pairs, strange = self._pairs(rows)
        nothing = "no reply was read as one of the labels" if self.unread == "left out" else "no reply was judged"
        if self.figure == "accuracy":
            right = pairs.with_columns(right=(pl.col("said") == pl.col("truth")).cast(float))
            found = share(right, "right", nothing)
        else:
            sums = counts(pairs, self.labels)
            names = [name for name in sums.columns if name != "cluster"]
            found = of_sums(sums, names, macro_f1, nothing)
        return without(found, strange, "row whose first reference is none of the labels")

    def _pairs(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """cluster, truth, said ("" for none of the labels) of the rows that count, and how many have no truth."""
        import polars as pl

        told = rows.filter(pl.col("outcome") != "error")
        labels, stopped = told[f"label:{self.judge}"].to_list(), told.select(withheld()).to_series().to_list()
        truths = [truth_of(every, self.labels) for every in told["references"].to_list()]
        known = [stop or bool(label and label != "unjudged") for label, stop in zip(labels, stopped, strict=True)]
        forms = {folded(label): label for label in self.labels}
        said = ["" if stop else forms.get(folded(label or ""), "") for label, stop in zip(labels, stopped, strict=True)]
        columns = {"cluster": told["cluster"], "truth": truths, "said": said, "known": known}
        pairs = pl.DataFrame(columns, schema_overrides={"truth": pl.String, "said": pl.String, "known": pl.Boolean})
        pairs = pairs.filter(pl.col("known"))
        kept = pairs.filter(pl.col("truth") != "")
        strange = pairs.height - kept.height
        return (kept.filter(pl.col("said") != "") if self.unread == "left out" else kept), strange


def truth_of(references: Sequence[str] | None, labels: Sequence[str]) -> str:
    """The one of `labels` that the first reference is, "" for none: case, blanks and outer punctuation aside ("(B)." is
    "B"). Yes and no are read as the judge `yes-no` reads them ("Yes, there is one."), letters from A on as
    `multiple-choice` does: a place from 0 on is one too ("1" is B)."""
    first = (references[0] if references else "") or ""
    by_form = {folded(label): label for label in labels}
    if set(by_form) == {"yes", "no"}:
        from proofglass.evaluation.judges.yes_no import said

        return by_form.get(said(first), "")
    if set(by_form) == set(string.ascii_lowercase[: len(by_form)]):
        from proofglass.evaluation.judges.multiple_choice import letter_of

        return by_form.get(folded(first)) or by_form.get(letter_of(first, len(by_form)).casefold(), "")
    return by_form.get(folded(first), "")


def folded(text: str) -> str:
    """NFKC, without case, outer blanks and outer punctuation."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return plain.strip(string.punctuation + string.whitespace + _QUOTES)


def counts(pairs: pl.DataFrame, labels: Sequence[str]) -> pl.DataFrame:
    """cluster and, per label, 2 TP and 2 TP + FP + FN as each row adds to them."""
    import polars as pl

    truth, said = pl.col("truth"), pl.col("said")
    columns = []
    for k, label in enumerate(labels):
        has, says = (truth == label).cast(float), (said == label).cast(float)
        columns += [(2 * has * says).alias(f"hit {k}"), (has + says).alias(f"all {k}")]
    return pairs.select("cluster", *columns)


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """float [R, 2 L], per label 2 TP and 2 TP + FP + FN -> float [R]: the mean F1, 0 for a label without a row; NaN
    without any row."""
    import numpy as np

    hit, every = sums[:, 0::2], sums[:, 1::2]
    by_label = np.divide(hit, every, out=np.zeros_like(hit), where=every > 0)
    found: np.ndarray = np.where(every.sum(1) > 0, by_label.mean(1), np.nan)
    return found
