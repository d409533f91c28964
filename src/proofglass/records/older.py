"""Folders of schema version 2, as they are read: flat records, a file per cell, whose missing columns are null.

Nothing is written into them. Version 2 had no table of samples (a record held its sample's columns), no key of an
attempt (it is made here, from what the record holds), and scores without rater, time and source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofglass.records.schema import attempt_key, record_schema

if TYPE_CHECKING:
    import polars as pl


def flat(records: pl.LazyFrame) -> pl.LazyFrame:
    """Records of version 2 with the columns of `Record`."""
    import polars as pl

    told = ("conversation", "reply", "outcome")
    key = pl.struct(told).map_elements(lambda row: attempt_key(*(row[name] for name in told)), return_dtype=pl.String())
    known = set(records.collect_schema().names())
    return records.with_columns(attempt=key).select(
        pl.col(name) if name in {*known, "attempt"} else pl.lit(None, kind).alias(name)
        for name, kind in record_schema().items()
    )


def scores(said: pl.LazyFrame, judge_key: str) -> pl.LazyFrame:
    """The scores of a cell by the judge of this key, with the columns of today."""
    import polars as pl

    return said.with_columns(
        judge_key=pl.lit(judge_key), **{name: pl.lit(None, pl.String()) for name in ("rater", "time", "source")}
    )
