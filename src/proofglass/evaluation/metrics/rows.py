"""The frame that metrics read: the rows of a run beside what the judges said of them (contract: `Metric`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proofglass.evaluation.metrics.answers import ONE, as_floats, given_by, of_frame
from proofglass.interfaces import SUCCESS

if TYPE_CHECKING:
    import polars as pl


def judge_for(need: str, judges: Mapping[str, Mapping[str, Any]], success: str = "") -> str:
    """The label of the judge that a metric means by `need`, "" if there is none.

    judges: label -> name (as registered) and aspect. success: label of the judge of success.
    """
    if need == SUCCESS:
        return success
    if need in judges:
        return need
    return next((label for label, told in judges.items() if need in (told.get("name"), told.get("aspect"))), "")


def scored_rows(
    frame: pl.DataFrame,
    scores: pl.DataFrame,
    judges: Mapping[str, str],
    *,
    undefended: Sequence[str] = ("none",),
    unattacked: Sequence[str] = ("no-attack",),
) -> pl.DataFrame:
    """`frame` with the columns that metrics are promised.

    frame: rows of a run, one per (cell, sample_id); scores: cell, sample_id, judge, value, label. judges: what a metric
    needs -> the label of the judge that it is. undefended, unattacked: labels of defenses and attacks that do nothing.
    """
    import numpy as np
    import polars as pl

    rows = frame.with_columns(
        undefended=pl.col("defense").is_in(undefended), unattacked=pl.col("attack").is_in(unattacked)
    )
    answers = of_frame(frame, np.zeros(frame.height, np.int64), 1)
    for need, judge in judges.items():
        given = frame.select(ONE).join(given_by(scores, judge), on=ONE, how="left", maintain_order="left")
        counted = pl.Series(f"score:{need}", answers.values(as_floats(given["value"]))).fill_nan(None)
        rows = rows.with_columns(counted, given["label"].alias(f"label:{need}"))
    return rows
