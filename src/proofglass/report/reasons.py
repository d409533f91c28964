"""Why samples brought no number: every reason that a run recorded, counted, with a sample to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proofglass.console import REASON, cut
from proofglass.evaluation.metrics.answers import ONE, withheld
from proofglass.records.schema import without_id
from proofglass.report.run import ReportedRun
from proofglass.types.tries import TOLD

if TYPE_CHECKING:
    import polars as pl

KINDS = {"error": "failed", "refused": "refused", "filtered": "filtered", "blocked": "blocked", "ok": "noted"}


def reasons(run: ReportedRun) -> list[dict[str, Any]]:
    """One row per cell, kind and reason, in plan order, the most frequent first: victim, attack, defense, dataset,
    kind, judge, reason, count, sample_id (the first one).

    kind: failed, refused (by the provider), filtered, blocked (the reason of the reply), noted (of an answer: the
    typography overflowed, ...) or unjudged (the reason of `judge`, on answers only). The sample's own id counts as no
    difference between two reasons.
    """
    import polars as pl

    plan = {cell["cell"]: (place, cell) for place, cell in enumerate(run.plan)}
    same = ["cell", "kind", "judge", "reason"]
    counted = (
        _recorded(run).group_by(same, maintain_order=True).agg(pl.len().alias("count"), pl.col("sample_id").first())
    )
    rows = [row for row in counted.to_dicts() if row["cell"] in plan]
    rows.sort(key=lambda row: (plan[row["cell"]][0], -row["count"]))
    return [
        {
            **{name: plan[row["cell"]][1][name] for name in ("victim", "attack", "defense", "dataset")},
            **{name: row[name] for name in ("kind", "judge", "reason", "count")},
            "sample_id": cut(row["sample_id"], 120),
        }
        for row in rows
    ]


def _recorded(run: ReportedRun) -> pl.DataFrame:
    """cell, kind, judge, reason, sample_id of every row that has one to tell."""
    import polars as pl

    names = ["cell", "sample_id", "kind", "judge", "reason"]
    # What a search tells of its tries is a number that metrics read, no reason why something is missing.
    reason = pl.col("reason").str.replace_all(f"; {TOLD.pattern}", "").str.replace_all(f"{TOLD.pattern}(; )?", "")
    rows = run.frame.select(*ONE, "outcome", reason, withheld=withheld())
    told = rows.filter((pl.col("outcome") != "ok") | (pl.col("reason") != ""))
    told = told.with_columns(kind=pl.col("outcome").replace(KINDS), judge=pl.lit("")).select(names)
    answered = rows.filter((pl.col("outcome") != "error") & ~pl.col("withheld")).select(ONE)
    unjudged = run.scores.filter(pl.col("value").is_null()).join(answered, on=ONE, how="semi", maintain_order="left")
    found = pl.concat([told, unjudged.with_columns(kind=pl.lit("unjudged")).select(names)])
    pairs = found.select("reason", "sample_id").iter_rows()
    texts = [cut(without_id(reason or "no reason recorded", sample), REASON) for reason, sample in pairs]
    return found.with_columns(pl.Series("reason", texts, dtype=pl.String))


def gathered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same over all cells, the most frequent first: kind, judge, reason, count, cells (how many), and victim,
    attack, defense, dataset and sample_id of the first."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        first = found.setdefault((row["kind"], row["judge"], row["reason"]), {**row, "count": 0, "cells": 0})
        first["count"] += row["count"]
        first["cells"] += 1
    order = ("failed", "unjudged", "refused", "filtered", "blocked", "noted")
    return sorted(found.values(), key=lambda row: (order.index(row["kind"]), -row["count"]))
