"""What judges said, as tables: of a cell, by a judge that ran there; and added later, by whoever looked at an attempt.

An added score names the attempt (`Record.attempt`: dialogue and reply), so it counts wherever that attempt stands, and
after a rerun as long as the reply is the same. Scores of several raters stand side by side, one for each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import UsageError
from proofglass.records.schema import score_schema, utf8
from proofglass.records.tables import Tables, write_table
from proofglass.types import Score

if TYPE_CHECKING:
    import polars as pl

SAID = ("value", "label", "reason", "rater", "time", "source")
FIX = "delete it: what people or other tools said cannot be made again"


def cell_schema() -> dict[str, Any]:
    """Column -> polars type of the scores of a cell on disk."""
    return _schema("cell", "judge_key", "sample_id", *SAID)


def added_schema() -> dict[str, Any]:
    """Column -> polars type of added scores on disk."""
    return _schema("attempt", "judge", *SAID)


def _schema(*names: str) -> dict[str, Any]:
    import polars as pl

    known = score_schema()
    texts = {name: known.get(name, pl.String()) for name in names}
    shared = ("cell", "judge_key", "judge", "label", "rater", "source")
    return {name: pl.Categorical() if name in shared else kind for name, kind in texts.items()}


def rows_of(scores: Mapping[str, Score], schema: Mapping[str, Any], by: str, **same: str) -> pl.DataFrame:
    """A table of these scores, each named in the column `by`; same: columns of one value."""
    import polars as pl

    rows = [{by: name, **same, **{k: getattr(score, k) for k in SAID}} for name, score in scores.items()]
    return pl.DataFrame(rows, schema=dict(schema))


def score_of(judge: str, row: Mapping[str, Any]) -> Score:
    """The score in a row of a table of scores; a column that an older version did not have is null there."""
    return Score(judge, row["value"], *(row[name] or "" for name in SAID[1:]))


def agreed(scores: pl.DataFrame) -> pl.DataFrame:
    """One score per cell, sample and judge: the last of each rater, and of several raters the mean of those who gave a
    value, nobody's where nobody did; their label where they all say the same, else "".

    scores: cell, sample_id, judge, value and what else `Store.scores` has.
    """

    place = ["cell", "sample_id", "judge"]
    raters = [*place, "rater"] if "rater" in scores.columns else place
    last = scores.unique(raters, keep="last", maintain_order=True)
    if last.select(place).n_unique() == last.height:
        return last
    told = [_told(name) for name in last.columns if name not in place]
    return last.group_by(place, maintain_order=True).agg(told).select(last.columns)


def _told(name: str) -> pl.Expr:
    """What several raters together say in a column."""
    import polars as pl

    if name == "value":
        return pl.col(name).mean()
    if name == "attempt":
        return pl.col(name).first()
    if name == "reason":
        return pl.col(name).filter(pl.col(name) != "").unique(maintain_order=True).str.join("; ")
    return pl.when(pl.col(name).n_unique() == 1).then(pl.col(name).first()).otherwise(pl.lit("")).alias(name)


class Added:
    """The scores that were added to the run folder at `path`: a file per judge, `added/<judge>.parquet`."""

    def __init__(self, path: Path, tables: Tables) -> None:
        self.folder, self.tables = path / "added", tables

    def scan(self) -> list[pl.LazyFrame]:
        """All of them, a frame per judge. Raises StoreError if a file is damaged."""
        return [self.tables.scan([path], FIX) for path in sorted(self.folder.glob("*.parquet"))]

    def has(self, judge: str) -> bool:
        return (self.folder / f"{judge}.parquet").exists()

    def put(self, judge: str, scores: Mapping[str, Score]) -> None:
        """Keep these (attempt -> score); each replaces the one that the same rater gave the same attempt before. Raises
        UsageError for a judge whose name is no plain word: it names a file."""
        import polars as pl

        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", judge):
            raise UsageError(f"judge: expected a plain word such as annotators, found {judge[:100]!r}")
        path = self.folder / f"{judge}.parquet"
        new = rows_of({key: _dated(score) for key, score in scores.items()}, added_schema(), "attempt", judge=judge)
        before = [self.tables.scan([path], FIX).collect()] if path.exists() else []
        both = pl.concat([*before, new])
        write_table(path, both.unique(["attempt", "rater"], keep="last", maintain_order=True))


def _dated(score: Score) -> Score:
    import dataclasses

    time = score.time or datetime.now(UTC).isoformat(timespec="seconds")
    return dataclasses.replace(score, time=time, label=utf8(score.label), reason=utf8(score.reason))
