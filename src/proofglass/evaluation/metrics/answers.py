"""The rows of a run as arrays: what became of each answer, and what each judge gives it. Counted in `success`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proofglass.evaluation.statistics.clusters import numbered
from proofglass.records.scores import agreed
from proofglass.types import Reply

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

PLACE = ("victim", "attack", "defense", "dataset")
ONE = ("cell", "sample_id")  # what names a row


@dataclass(frozen=True)
class Answers:
    """Rows as arrays of one length. cell: 0..cells-1; cluster: a code, equal for rows that share a question; the rest:
    whether it failed, was filtered, was blocked, was refused by the provider, was withheld whole (`is_withheld`), was
    cut at the token limit."""

    cells: int
    cell: np.ndarray
    cluster: np.ndarray
    failed: np.ndarray
    filtered: np.ndarray
    blocked: np.ndarray
    refused: np.ndarray
    withheld: np.ndarray
    truncated: np.ndarray

    def values(self, given: np.ndarray, *, of_thoughts: bool = False, of_refusals: bool = False) -> np.ndarray:
        """What each row counts as: the judge's score; 0 where it was withheld, which for a judge of refusals is one, a
        1; NaN where it is not counted (failed, or unjudged). given: the scores, NaN for unjudged. of_thoughts: by a
        judge that reads them. of_refusals: by one whose 1 says "refused" (`Judge.says`)."""
        import numpy as np

        ruled = self.ruled(given, of_thoughts=of_thoughts)
        return np.where(self.failed, np.nan, np.where(ruled, float(of_refusals), given))

    def ruled(self, given: np.ndarray, *, of_thoughts: bool = False) -> np.ndarray:
        """Which rows count as they do since they were withheld, whatever the judge says. What a judge of thoughts says
        of one stands where the answer was withheld, since the thought was not."""
        import numpy as np

        return self.withheld & np.isnan(given) if of_thoughts else self.withheld

    def count(self, which: np.ndarray) -> list[int]:
        """How many of these rows (a mask) each cell has."""
        import numpy as np

        counts: list[int] = np.bincount(self.cell[which], minlength=self.cells).tolist()
        return counts


def is_withheld(row: Mapping[str, Any]) -> bool:
    """Whether an answer was stopped before a word of it got through (`Reply.is_withheld`). row: outcome; of one that
    the provider filtered or refused also `reply`."""
    outcome = row["outcome"]
    return outcome != "error" and Reply(row.get("reply") or "", outcome).is_withheld


def withheld() -> pl.Expr:
    """The same of the rows of a frame: outcome, reply."""
    import polars as pl

    silent = pl.col("reply").fill_null("").str.strip_chars() == ""
    return (pl.col("outcome") == "blocked") | (pl.col("outcome").is_in(["filtered", "refused"]) & silent)


def of_rows(rows: Sequence[Mapping[str, Any]]) -> Answers:
    """One cell: rows with outcome, finish, cluster and, of filtered and refused ones, reply."""
    import numpy as np

    cluster = numbered(row["cluster"] for row in rows)
    outcomes = [row["outcome"] for row in rows]
    failed, filtered, blocked, refused = (np.array([o == name for o in outcomes], bool) for name in _APART)
    stopped = np.array([is_withheld(row) for row in rows], bool)
    truncated = np.array([row["finish"] == "length" for row in rows], bool)
    cell = np.zeros(len(rows), np.int64)
    return Answers(1, cell, cluster, failed, filtered, blocked, refused, stopped, truncated)


def of_frame(frame: pl.DataFrame, cell: np.ndarray, cells: int) -> Answers:
    """The rows of a run (outcome, finish, reply, cluster), of which `cell` says where each belongs."""
    failed, filtered, blocked, refused = ((frame["outcome"] == name).to_numpy() for name in _APART)
    stopped = frame.select(withheld()).to_series().to_numpy()
    truncated = (frame["finish"] == "length").to_numpy()
    return Answers(cells, cell, codes(frame, ("cluster",)), failed, filtered, blocked, refused, stopped, truncated)


def scores_of(frame: pl.DataFrame, scores: pl.DataFrame, judge: str) -> np.ndarray:
    """The judge's score of each row of `frame`, by `given_by`; NaN where it gave none.

    frame: cell, sample_id; scores: cell, sample_id, judge, value and, where people judged, rater.
    """
    found = frame.select(ONE).join(given_by(scores, judge), on=ONE, how="left", maintain_order="left")["value"]
    return as_floats(found)


def given_by(scores: pl.DataFrame, judge: str) -> pl.DataFrame:
    """What one judge said of each row: cell, sample_id, value, label (where `scores` has labels).

    Of several raters (`records.scores.agreed`): of each the last score, since it is the one that he means, and of all
    the mean, those who could not judge left out: the chance that one of them, drawn at random, says yes. A judge that
    runs here is one rater.
    """
    import polars as pl

    mine = agreed(scores.filter(pl.col("judge") == judge))
    return mine.select(*ONE, *(name for name in ("value", "label") if name in mine.columns))


def as_floats(values: pl.Series) -> np.ndarray:
    """float64, NaN for null."""
    import numpy as np

    found: np.ndarray = values.cast(float).to_numpy().astype(np.float64)
    return found


def codes(frame: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Which of the different combinations of these columns each row has, numbered as they first appear: int64."""
    every = frame.select(names)
    numbered = every.unique(maintain_order=True).with_row_index("code")
    found = every.join(numbered, on=list(names), how="left", maintain_order="left", nulls_equal=True)["code"]
    return found.cast(int).to_numpy()


_APART = ("error", "filtered", "blocked", "refused")
