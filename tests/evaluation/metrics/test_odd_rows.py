"""Whatever stands in the rows (nulls, unknown kinds, scores that are no number, odd texts), a metric measures or says
why not: it never raises, warns, or leaves its range."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from proofglass.evaluation.metrics.rows import scored_rows
from proofglass.interfaces import Measure
from proofglass.records.schema import record_schema
from proofglass.registry import build, entries
from proofglass.report.measures import _checked

SCORES = {"cell": pl.String, "sample_id": pl.String, "judge": pl.String, "value": pl.Float64, "label": pl.String}
EVERY: dict[str, list[Any]] = {
    "cell": ["a", "b"],
    "cluster": ["q", "é\u0301", "", None, "c1", "c2", "c3"],
    "victim": ["v"],
    "attack": ["no-attack", "x"],
    "defense": ["none", "d"],
    "dataset": ["D"],
    "expected": ["refuse", "protect", "comply", "control", "label", "describe", "nonsense", None],
    "outcome": ["ok", "ok", "ok", "error", "blocked", "filtered", "refused"],
    "reply": ["", " ", "yes", None, "\x00😀", "r" * 1000],
    "finish": ["stop", "length"],
    "references": [None, [], [None], ["yes"], ["No."], ["", "yes"]],
    "clean_image": [None, "", "a" * 64],
    "attacked_images": [None, [], ["b" * 64]],
}
VALUES, LABELS = [0.0, 1.0, 0.3, None, float("nan")], [None, "", "yes", "no", "invalid", "unjudged", "é"]


def odd_rows(draw: random.Random, needs: tuple[str, ...]) -> pl.DataFrame:
    blank = dict.fromkeys(record_schema())
    count = draw.choice([0, 1, 2, 5, 30])
    rows = [
        {**blank, **{name: draw.choice(some) for name, some in EVERY.items()}, "sample_id": f"s{k}"}
        for k in range(count)
    ]
    scores = [
        {"cell": row["cell"], "sample_id": row["sample_id"], "judge": need}
        | {"value": draw.choice(VALUES), "label": draw.choice(LABELS)}
        for row in rows
        for need in needs
        if draw.random() < 0.8
    ]
    frame, given = pl.DataFrame(rows, schema=record_schema()), pl.DataFrame(scores, schema=SCORES)
    return scored_rows(frame, given, {need: need for need in needs}, picture=lambda sha: Path("/nowhere") / sha)


@pytest.mark.parametrize("name", list(entries("metrics")))
def test_odd_rows_are_measured_or_told(name: str) -> None:
    metric = build("metrics", name)
    for seed in range(15):
        for _, found in metric.over_groups(odd_rows(random.Random(seed), tuple(metric.needs))):
            assert isinstance(_checked(metric, found), Measure)
            assert found.value is not None or found.reason
