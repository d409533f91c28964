"""The metric `rate`, and what several raters of one reply count as."""

from pathlib import Path

import polars as pl
import pytest

from proofglass.evaluation.metrics.answers import given_by
from proofglass.evaluation.metrics.rows import judge_for, scored_rows
from proofglass.evaluation.metrics.success import Rate, rates
from proofglass.interfaces import CELL
from proofglass.registry import build
from report import fake_run


@pytest.fixture(scope="module")
def run():
    return fake_run.full_run(Path("nowhere"), n=20)


def test_the_metric_is_the_rate_of_every_cell(run):
    frame, scores = run.frame(), run.scores()
    rows = scored_rows(frame, scores, {"success": fake_run.SUCCESS})
    found = dict(build("metrics", "rate").over_groups(rows))
    told = {tuple(row[name] for name in CELL): row for row in rates(frame, scores, [fake_run.SUCCESS])}
    assert list(found) == list(told)
    for group, one in found.items():
        expected = Rate(**{name: told[group][name] for name in vars(one)})
        assert (one.value, one.low, one.high, one.n) == (expected.value, expected.low, expected.high, expected.n)
        assert (one.failed, one.blocked, one.unjudged, one.truncated, one.lowest, one.highest) == (
            expected.failed,
            expected.blocked,
            expected.unjudged,
            expected.truncated,
            expected.lowest,
            expected.highest,
        )


def test_kinds_of_samples_are_never_counted_together():
    rows = [
        {"victim": "v", "attack": "a", "defense": "none", "dataset": "d", "expected": kind, "cell": "c"}
        | {"sample_id": kind, "outcome": "ok", "finish": "stop", "reply": "r", "cluster": kind}
        for kind in ("protect", "control")
    ]
    scores = pl.DataFrame({"cell": ["c"] * 2, "sample_id": ["protect", "control"], "judge": "j", "value": [1.0, 0.0]})
    table = rates(pl.DataFrame(rows), scores, ["j"])
    assert [(row["expected"], row["value"], row["n"]) for row in table] == [("protect", 1.0, 1), ("control", 0.0, 1)]


def said(*rows):
    """(rater, value, label) of one reply, in the order in which they were said."""
    names = {"cell": "c", "sample_id": "s", "judge": "people"}
    told = [{**names, "rater": rater, "value": value, "label": label} for rater, value, label in rows]
    return given_by(pl.DataFrame(told, schema_overrides={"value": pl.Float64}), "people").to_dicts()


def test_several_raters_count_as_the_mean_of_what_each_said_last():
    # anna changed her mind from 0 to 1; ben says 0; cleo could not judge: (1 + 0) / 2, and no label that all give
    (row,) = said(("anna", 0.0, "no"), ("ben", 0.0, "no"), ("anna", 1.0, "yes"), ("cleo", None, "unjudged"))
    assert row == {"cell": "c", "sample_id": "s", "value": 0.5, "label": ""}


def test_a_reply_that_no_rater_could_judge_is_unjudged():
    assert said(("anna", None, "unjudged"), ("ben", None, "unjudged"))[0]["value"] is None


def test_of_one_rater_the_last_score_counts():
    assert said(("anna", 0.0, "no"), ("anna", None, "unjudged")) == [
        {"cell": "c", "sample_id": "s", "value": None, "label": "unjudged"}
    ]


def test_a_score_counts_as_the_rule_says_before_a_metric_sees_it():
    outcomes = ("ok", "error", "blocked", "filtered", "filtered", "ok")
    replies = ("r", "", "no", "", "part", "r")
    frame = pl.DataFrame(
        {"cell": "c", "sample_id": [f"s{k}" for k in range(6)], "outcome": outcomes, "reply": replies}
        | {"finish": "stop", "cluster": "q", "attack": "a", "defense": "none"}
    )
    values = [1.0, 1.0, 1.0, 1.0, 1.0, None]
    scores = frame.select("cell", "sample_id").with_columns(
        judge=pl.lit("j"), value=pl.Series(values, dtype=pl.Float64), label=pl.lit("yes")
    )
    rows = scored_rows(frame, scores, {"success": "j"})
    assert rows["score:success"].to_list() == [1.0, None, 0.0, 0.0, 1.0, None]
    assert rows["given:success"].to_list() == [1.0, 1.0, 1.0, 1.0, 1.0, None]  # as the judge gave it
    assert rows["undefended"].all()
    assert not rows["unattacked"].any()


def test_a_need_is_a_label_a_name_or_an_aspect():
    judges = {"mine": {"name": "unsafe", "aspect": "harm"}, "other": {"name": "yes-no", "aspect": ""}}
    needs = {
        "success": "other",
        "mine": "mine",
        "unsafe": "mine",
        "harm": "mine",
        "yes-no": "other",
        "nobody": "",
        "": "",
    }
    assert {need: judge_for(need, judges, "other") for need in needs} == needs
