"""What every metric promises, as functions that raise AssertionError; and the rows of a made-up run to show it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from proofglass.evaluation.metrics.rows import scored_rows
from proofglass.interfaces import CELL, PROBABILITY, Group, Measure, Metric
from proofglass.types.tries import Tries

if TYPE_CHECKING:
    import polars as pl

SAMPLES = 12  # of each kind in each cell, two to a question
ALIKE = 1e-9


def scored(metric: Metric) -> pl.DataFrame:
    """The rows of two victims x two attacks x two defenses (the first of each does nothing) with requests and harmless
    questions, and scores of every judge that `metric` needs, some of them missing: verdicts, or probabilities where
    verdicts give it no number."""
    rows = _scored(metric, verdicts=True)
    return rows if _has_numbers(metric, rows) else _scored(metric, verdicts=False)


def _has_numbers(metric: Metric, rows: pl.DataFrame) -> bool:
    try:
        return any(found.value is not None for _, found in metric.over_groups(rows))
    except Exception:  # the check that asked for the rows meets it again
        return True


def _scored(metric: Metric, verdicts: bool) -> pl.DataFrame:
    import polars as pl

    from proofglass.records.schema import record_schema

    rng = np.random.default_rng(5)
    places = [
        {"victim": victim, "attack": attack, "defense": defense, "dataset": f"{expected}-set", "expected": expected}
        for victim in ("one", "other")
        for attack in ("no-attack", "figstep")
        for defense in ("none", "system-prompt")
        for expected in ("refuse", "comply")
    ]
    empty: dict[str, Any] = {"String": "", "List": []}
    blank = {name: empty.get(type(kind).__name__, 0) for name, kind in record_schema().items()}
    rows, scores = [], []
    for cell, place in enumerate(places):
        for k in range(SAMPLES):
            name = {"cell": str(cell), "sample_id": f"s{k}"}
            outcome = ("error", "blocked", *["ok"] * 10)[(k + cell) % 12]
            reply = "" if outcome == "error" else "a reply"
            # The attack is a search here, some of whose tries succeed: some metrics read what it says of them.
            tries = (Tries(5), Tries(3, 1, 3), Tries(2, 2, 1))[k % 3].told() if place["attack"] == "figstep" else ""
            replied = {"cluster": f"q{k // 2}", "outcome": outcome, "reply": reply, "reason": tries}
            rows.append({**blank, **place, **name, **replied})
            for need in metric.needs:
                value = float(rng.random() < 0.5) if verdicts else rng.random()
                label = ("yes", "no")[int(rng.random() < 0.5)] if verdicts else PROBABILITY
                told = {"value": value, "label": label} if k % 5 else {"value": None, "label": "invalid"}
                scores.append({**name, "judge": need, **told})
    schema = {"cell": pl.String, "sample_id": pl.String, "judge": pl.String, "value": pl.Float64, "label": pl.String}
    frame = pl.DataFrame(rows, schema=record_schema())
    return scored_rows(frame, pl.DataFrame(scores, schema=schema), {need: need for need in metric.needs})


def groups_by_what_it_says(metric: Metric, rows: pl.DataFrame) -> None:
    """Each group is named once, by the values that its rows have in the columns of `by`, which are some of CELL."""
    assert metric.by, "by: names no column"
    assert set(metric.by) <= set(CELL), f"by: expected some of {', '.join(CELL)}, found {', '.join(metric.by)}"
    known = set(rows.select(metric.by).unique().rows())
    groups = [group for group, _ in metric.over_groups(rows)]
    assert groups, "no group at all"
    assert len(groups) == len(set(groups)), "a group stands twice"
    strange = [group for group in groups if group not in known]
    assert not strange, f"no row is of the group {strange[0]}"


def stays_in_its_range(metric: Metric, rows: pl.DataFrame) -> None:
    """Every value lies within `range`, and so does its interval."""
    least, most = metric.range
    for group, found in metric.over_groups(rows):
        assert isinstance(found, Measure), f"{group}: found a {type(found).__name__}, expected a Measure"
        for number in (found.low, found.value, found.high):
            if number is not None:
                assert least is None or number >= least - ALIKE, f"{group}: {number} is below the range {metric.range}"
                assert most is None or number <= most + ALIKE, f"{group}: {number} is above the range {metric.range}"


def order_of_rows_changes_nothing(metric: Metric, rows: pl.DataFrame) -> None:
    """The same rows in another order give the same groups with the same numbers."""
    _same(_numbers(metric, rows), _numbers(metric, rows[::-1]), "the rows in another order")
    _same(_numbers(metric, rows), _numbers(metric, rows.sample(fraction=1.0, shuffle=True, seed=7)), "shuffled rows")


def says_why_where_nothing_is(metric: Metric, rows: pl.DataFrame) -> None:
    """Without rows, and where no judge said anything, no error and no number out of nothing: `Measure.none`."""
    import polars as pl

    nothing = rows.clear()
    for group, found in metric.over_groups(nothing):
        assert found.value is None, f"no row, and {group} has the value {found.value}"
    if _counts_one(metric):
        found = metric.over(nothing)
        assert found.value is None, f"no row, and the value {found.value}"
    columns = [name for name in rows.columns if name.startswith(("score:", "given:", "label:"))]
    # A reply that was withheld counts without a judge.
    said = rows.filter(pl.col("outcome") == "ok")
    unjudged = said.with_columns(pl.lit(None).cast(rows[name].dtype).alias(name) for name in columns)
    for group, found in metric.over_groups(unjudged):
        assert found.value is None or not columns, f"no row was judged, and {group} has the value {found.value}"


def groups_are_counted_alone(metric: Metric, rows: pl.DataFrame) -> None:
    """Where a metric counts one group and all together, both agree."""
    import polars as pl

    if not (_counts_one(metric) and _counts_all(metric)):
        return
    alone = {}
    for group, _ in metric.over_groups(rows):
        mine = (pl.col(name) == value for name, value in zip(metric.by, group, strict=True))
        alone[group] = metric.over(rows.filter(*mine))
    _same(_numbers(metric, rows), alone, "each group by itself")


def _counts_one(metric: Metric) -> bool:
    return type(metric).over is not Metric.over


def _counts_all(metric: Metric) -> bool:
    return type(metric).over_groups is not Metric.over_groups


def _numbers(metric: Metric, rows: pl.DataFrame) -> dict[Group, Measure]:
    return dict(metric.over_groups(rows))


def _same(one: Mapping[Group, Measure], other: Mapping[Group, Measure], what: str) -> None:
    assert set(one) == set(other), f"{what}: other groups"
    for group, found in one.items():
        for name in ("value", "low", "high", "n"):
            pair: list[Any] = [getattr(measure, name) for measure in (found, other[group])]
            alike = pair[0] == pair[1] or (None not in pair and math.isclose(*pair, rel_tol=ALIKE, abs_tol=ALIKE))
            assert alike, f"{what}: {name} of {group} is {pair[1]}, was {pair[0]}"
