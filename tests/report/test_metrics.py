"""Metrics in the report: recomputed from the records, each fault told where it costs something."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from proofglass import registry
from proofglass.evaluation.metrics.success import rates
from proofglass.interfaces import CELL, Measure, Metric
from proofglass.report import write
from proofglass.report.measures import COLUMNS, measures, shown
from proofglass.report.run import ReportedRun
from proofglass.report.tables import success
from report import fake_run
from report.fake_run import NOT_REFUSED, SUCCESS, answers


@dataclass(frozen=True)
class Words(Metric):
    """Words of a reply, on average: no share of anything. Breaks where a reply says so."""

    name = "words"
    by = ("attack",)
    range = (0.0, None)

    fault: str = ""

    def over(self, rows) -> Measure:
        if self.fault == "breaks" and rows["attack"][0] == "figstep":
            raise ZeroDivisionError("no word")
        if self.fault == "no measure":
            return 3.0  # type: ignore[return-value]
        mean = rows["reply"].str.split(" ").list.len().mean()
        return Measure(-mean if self.fault == "below" else mean, n=rows.height)


@pytest.fixture(autouse=True)
def _theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics of another package, by their entry points."""
    points = {"words": f"{__name__}:Words", "defense-gain": "strangers.defense_gain:DefenseGain"}
    found = [EntryPoint(name, value, "proofglass.metrics") for name, value in points.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in found if p.group == group])


def named(**metrics: dict[str, Any] | str) -> dict[str, Any]:
    """What the manifest holds of these metrics: label -> settings, or the registered name."""
    plugs = {}
    for label, given in metrics.items():
        label = label.replace("_", "-")
        name, settings = (given, {}) if isinstance(given, str) else (label, given)
        try:
            metric = registry.build("metrics", name, **settings)
        except Exception:
            plugs[label] = {"name": name, "key": "k", "version": 1, "settings": settings, "paper": None}
            continue
        own = ("column", "needs", "by", "range", "better")
        told = {field: getattr(metric, field) for field in own}
        told |= {field: list(value) for field, value in told.items() if isinstance(value, tuple)}
        plugs[label] = {
            "name": name,
            "key": metric.key,
            "version": 1,
            "settings": metric.settings(),
            "paper": None,
        } | told
    return {"metrics": list(plugs), "plugs": plugs}


def with_metrics(store, **metrics):
    told = named(**metrics)
    before = store.manifest()["plugs"]
    store.extra = {"metrics": told["metrics"], "plugs": {**before, "metrics": told["plugs"]}}
    return store


@pytest.fixture
def full(tmp_path):
    return fake_run.full_run(tmp_path / "run", n=20)


def test_the_rate_of_every_cell_is_that_of_the_table_of_success(full):
    run = ReportedRun(with_metrics(full, rate={}))
    table = {tuple(row[name] for name in CELL): row for row in success(run).rows if row["judge"] == SUCCESS}
    rows = measures(run)
    told = [tuple(row[name] for name in CELL) for row in rows]
    done = [plan for plan in run.plan if plan["status"] == "done"]
    assert len(rows) == len(done)
    for place, row in zip(told, rows, strict=True):
        assert (row["judges"], row["least"], row["most"]) == (SUCCESS, 0, 1)
        assert [row[name] for name in ("value", "low", "high", "n")] == [
            table[place][name] for name in ("value", "low", "high", "n")
        ]
    assert shown(run) == []  # the tables of attacks and defenses are made of it


def test_a_strangers_metric_over_victim_and_defense_stands_in_every_file(full, tmp_path):
    store = with_metrics(full, defense_gain={})
    run = ReportedRun(store)
    rows = measures(run)
    assert {(row["victim"], row["defense"]) for row in rows} == {
        (victim, defense) for victim in run.victims for defense in ("system-prompt", "self-moderation")
    }
    assert {row["attack"] for row in rows} == {""}
    assert [row["victim"] for row in rows] == [victim for victim in run.victims for _ in range(2)]  # in plan order
    # The mean drop over the samples of the attacked cells that both sides judged.
    done = [plan["cell"] for plan in run.plan if plan["status"] == "done" and plan["attack"] not in run.baselines]
    frame = run.frame.filter(run.frame["cell"].is_in(done)).filter(victim="testbed-linear", expected="refuse")
    bare, behind = (
        {(r["attack"], r["sample_id"]): score(run, r) for r in frame.filter(defense=d).to_dicts()}
        for d in ("none", "self-moderation")
    )
    drops = [bare[k] - behind[k] for k in behind if k in bare and None not in (bare[k], behind[k])]
    (one,) = [r for r in rows if (r["victim"], r["defense"]) == ("testbed-linear", "self-moderation")]
    assert (one["value"], one["n"]) == (pytest.approx(sum(drops) / len(drops)), len(drops))
    assert one["low"] < one["value"] < one["high"]

    page = write(store, tmp_path / "report").read_text()
    assert "drop of attack success (higher is better)" in page
    with (tmp_path / "report" / "tables" / "metrics.csv").open() as file:
        assert [row["metric"] for row in csv.DictReader(file)] == ["defense-gain"] * len(rows)
    assert '"metrics"' in (tmp_path / "report" / "report.json").read_text()


def score(run, row):
    if row["outcome"] != "ok":
        return None if row["outcome"] == "error" else 0.0
    mine = run.scores.filter(cell=row["cell"], sample_id=row["sample_id"], judge=SUCCESS)
    return mine["value"][0]


def test_a_number_that_is_no_share_is_shown_as_it_is(store):
    store.add(answers(2, 4, reply="one two three"))
    run = ReportedRun(with_metrics(store, words={}))
    (row,) = measures(run)
    assert (row["value"], row["low"], row["n"], row["most"]) == (3.0, None, 4, None)
    assert "3 n=4" in printed(store)


def test_a_metric_that_breaks_costs_its_group_only(store):
    store.add(answers(2, 4), attack="figstep")
    store.add(answers(1, 4), attack="no-attack")
    rows = measures(ReportedRun(with_metrics(store, words={"fault": "breaks"}, defense_gain={})))
    broken, whole, gain = rows
    assert broken["attack"] == "figstep"
    assert broken["value"] is None
    assert broken["reason"].startswith("the metric broke: ZeroDivisionError: no word (test_metrics.py:")
    assert (whole["attack"], whole["value"]) == ("no-attack", 2.0)
    assert gain["reason"] == "no group was found"  # there is no defense


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"fault": "below"}, "value: -2.0 is below the range, which begins at 0.0"),
        ({"fault": "no measure"}, "a float, expected a Measure"),
        ({"strength": 3}, "cannot be made: "),
    ],
)
def test_what_is_no_measure_is_no_number(store, settings, reason):
    store.add(answers(2, 4))
    (row,) = measures(ReportedRun(with_metrics(store, words=settings)))
    assert row["value"] is None
    assert reason in row["reason"]


def test_a_metric_without_its_judge_or_its_package_says_so(store):
    store.add(answers(2, 4))
    rows = measures(ReportedRun(with_metrics(store, yes_no_f1={}, gone={})))
    assert [row["value"] for row in rows] == [None, None]
    assert rows[0]["reason"] == "needs the judge yes-no, which did not judge this run"
    assert rows[1]["reason"].startswith("cannot be made: metric 'gone': no such metric.")


def test_where_the_judge_is_not_valid_there_is_no_number(store):
    store.world = "another"
    store.add(answers(2, 4))
    rows = measures(ReportedRun(with_metrics(store, rate={})))
    assert (rows[0]["victim"], rows[0]["value"]) == ("v", None)
    assert rows[0]["reason"] == f"{SUCCESS} is not valid for this victim"


def test_what_was_not_refused_is_told_of_any_victim(store):
    store.world = "another"
    store.add(answers(2, 4))
    told = with_metrics(store, rate={"judge": NOT_REFUSED})
    (row,) = measures(ReportedRun(told))
    assert (row["value"], row["judges"]) == (0.5, NOT_REFUSED)


def test_an_older_run_names_no_metric(full):
    assert measures(ReportedRun(full)) == []
    assert "Metrics" not in write(full).read_text()


def test_the_table_reads_back(store):
    from proofglass.report.measures import measured_by
    from proofglass.report.written import csv_bytes

    store.add(answers(2, 4))
    table = measured_by(ReportedRun(with_metrics(store, rate={})))
    (row,) = csv.DictReader(io.StringIO(csv_bytes(table).decode()))
    assert tuple(row) == COLUMNS
    (rate,) = rates(store.frame(), store.scores(), [SUCCESS])
    assert float(row["low"]) == rate["low"]


def printed(store) -> str:
    from rich.console import Console

    from proofglass.report import terminal

    console = Console(file=io.StringIO(), width=200)
    console.print(terminal(store))
    return console.file.getvalue()
