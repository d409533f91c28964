"""The frame that metrics read: the rows of a run beside what the judges said of them (contract: `Metric`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.evaluation.metrics.answers import ONE, as_floats, given_by, of_frame
from proofglass.interfaces import SUCCESS

if TYPE_CHECKING:
    import polars as pl


def thought_judges(manifest: Mapping[str, Any]) -> frozenset[str]:
    """Labels of the judges of a run that read what a model thought (`Judge.reads_reasoning`); a run of an older version
    has none."""
    plugs = manifest.get("plugs", {}).get("judges", {})
    return frozenset(label for label, plug in plugs.items() if plug.get("reads_reasoning"))


def refusal_judges(manifest: Mapping[str, Any]) -> frozenset[str]:
    """Labels of the judges of a run whose 1 says that what was asked for was refused (`Judge.says`)."""
    plugs = manifest.get("plugs", {}).get("judges", {})
    return frozenset(label for label, plug in plugs.items() if plug.get("says") == "refused")


def judge_for(need: str, judges: Mapping[str, Mapping[str, Any]], success: str = "") -> str:
    """The label of the judge that a metric means by `need`, "" if there is none.

    judges: label -> name (as registered), aspect and reads_reasoning. success: label of the judge of success. By its
    aspect a judge of answers is meant: one of thoughts has that of another judge, and says nothing of answers.
    """
    if need == SUCCESS:
        return success
    if not need:  # no aspect is no aspect that could be meant
        return ""
    if need in judges:
        return need
    named = [label for label, told in judges.items() if need == told.get("name")]
    meant = [label for label, told in judges.items() if need == told.get("aspect") and not told.get("reads_reasoning")]
    return next(iter([label for label in judges if label in (*named, *meant)]), "")


def scored_rows(
    frame: pl.DataFrame,
    scores: pl.DataFrame,
    judges: Mapping[str, str],
    *,
    undefended: Sequence[str] = ("none",),
    unattacked: Sequence[str] = ("no-attack",),
    picture: Callable[[str], Path] | None = None,
    of_thoughts: Collection[str] = (),
    of_refusals: Collection[str] = (),
) -> pl.DataFrame:
    """`frame` with the columns that metrics are promised.

    frame: rows of a run, one per (cell, sample_id); scores: cell, sample_id, judge, value, label. judges: what a metric
    needs -> the label of the judge that it is. undefended, unattacked: labels of defenses and attacks that do nothing.
    picture: sha256 -> the PNG file of a picture.
    of_thoughts: labels of judges that read what a model thought (`Judge.reads_reasoning`). of_refusals: of those whose
    1 says "refused" (`Judge.says`).
    """
    import numpy as np
    import polars as pl

    rows = frame.with_columns(
        undefended=pl.col("defense").is_in(undefended), unattacked=pl.col("attack").is_in(unattacked)
    )
    answers = of_frame(frame, np.zeros(frame.height, np.int64), 1)
    for need, judge in judges.items():
        given = frame.select(ONE).join(given_by(scores, judge), on=ONE, how="left", maintain_order="left")
        values = as_floats(given["value"])
        counted = answers.values(values, of_thoughts=judge in of_thoughts, of_refusals=judge in of_refusals)
        rows = rows.with_columns(
            pl.Series(f"score:{need}", counted).fill_nan(None),
            pl.Series(f"given:{need}", values).fill_nan(None),
            given["label"].alias(f"label:{need}"),
        )
    return _with_files(rows, picture)


def _with_files(rows: pl.DataFrame, picture: Callable[[str], Path] | None) -> pl.DataFrame:
    """With clean_file and attacked_files. Each picture is looked up once: a universal one stands in every row."""
    import polars as pl

    text, texts = pl.String(), pl.List(pl.String())
    nothing = pl.lit(None, text).alias("clean_file"), pl.lit([], texts).alias("attacked_files")
    if picture is None or "clean_image" not in rows.columns:
        return rows.with_columns(nothing)
    shown = rows["attacked_images"].explode(empty_as_null=True, keep_nulls=True)
    shas = pl.concat([rows["clean_image"], shown]).drop_nulls().unique(maintain_order=True)
    files = [str(picture(sha)) if sha else None for sha in shas.to_list()]
    if not files:
        return rows.with_columns(nothing)

    def file_of(sha: pl.Expr) -> pl.Expr:
        return sha.replace_strict(shas, pl.Series(files, dtype=text), default=None, return_dtype=text)

    attacked = pl.col("attacked_images").fill_null([]).list.eval(file_of(pl.element())).list.drop_nulls()
    return rows.with_columns(file_of(pl.col("clean_image")).alias("clean_file"), attacked.alias("attacked_files"))
