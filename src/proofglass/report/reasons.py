"""Why samples brought no number: every reason that a run recorded, counted, with a sample to look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proofglass.console import REASON, cut
from proofglass.evaluation.metrics.answers import is_withheld
from proofglass.records.schema import without_id
from proofglass.report.run import Run

KINDS = {"error": "failed", "refused": "refused", "filtered": "filtered", "blocked": "blocked", "ok": "noted"}


def reasons(run: Run) -> list[dict[str, Any]]:
    """One row per cell, kind and reason, in plan order, the most frequent first: victim, attack, defense, dataset,
    kind, judge, reason, count, sample_id (the first one).

    kind: failed, refused (by the provider), filtered, blocked (the reason of the reply), noted (of an answer: the
    typography overflowed, ...) or unjudged (the reason of `judge`, on answers only). The sample's own id counts as no
    difference between two reasons.
    """
    found: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for cell, kind, judge, reason, sample in _recorded(run):
        same = (cell, kind, judge, cut(without_id(reason, sample), REASON))
        row = found.setdefault(same, {"count": 0, "sample_id": sample})
        row["count"] += 1
    names = ("victim", "attack", "defense", "dataset")
    rows = [
        {
            **{name: plan[name] for name in names},
            **dict(zip(("kind", "judge", "reason"), same[1:], strict=True)),
            "count": row["count"],
            "sample_id": cut(row["sample_id"], 120),
        }
        for plan in run.plan
        for same, row in found.items()
        if same[0] == plan["cell"]
    ]
    place = {tuple(plan[name] for name in names): k for k, plan in enumerate(run.plan)}
    return sorted(rows, key=lambda row: (place[tuple(row[name] for name in names)], -row["count"]))


def _recorded(run: Run) -> Iterator[tuple[str, str, str, str, str]]:
    """(cell, kind, judge, reason, sample) of every row that has one to tell."""
    names = ("cell", "sample_id", "outcome", "reason", "reply")
    answered = set()
    for cell, sample, outcome, reason, reply in run.frame.select(names).iter_rows():
        if outcome != "error" and not is_withheld({"outcome": outcome, "reply": reply}):
            answered.add((cell, sample))
        if outcome != "ok" or reason:
            yield cell, KINDS[outcome], "", reason or "no reason recorded", sample
    scores = run.scores.filter(run.scores["value"].is_null())
    for cell, sample, judge, reason in scores.select("cell", "sample_id", "judge", "reason").iter_rows():
        if (cell, sample) in answered:
            yield cell, "unjudged", judge, reason or "no reason recorded", sample


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
