"""The section "Defenses": on the same samples what each defense stops and what it costs, and nothing unseen."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from typing import Any

import pytest
from rich.console import Console

from proofglass.evaluation.metrics.compare import MARGIN
from proofglass.evaluation.statistics import wilson
from proofglass.report import terminal, write
from proofglass.report.defenses import by_defense, strongest
from proofglass.report.page import page
from proofglass.report.run import ReportedRun
from report.fake_run import NOT_REFUSED, SUCCESS, FakeStore, answers, plug

BENIGN, BORDERLINE, RESTRICTED = "testbed/benign", "testbed/borderline", "testbed/restricted"
FIRED, HELD = (json.dumps([{"defense": "wall", "fired": fired, "reason": "x"}]) for fired in (True, False))


def ask(store: FakeStore, hits: int, n: int, dataset: str = BENIGN, defense: str = "none", **more: Any) -> None:
    store.add(
        answers(hits, n, **more.pop("columns", {})),
        attack=more.pop("attack", "no-attack"),
        dataset=dataset,
        defense=defense,
        expected=more.pop("expected", "comply"),
        **more,
    )


def attacked(store: FakeStore, hits: int, n: int, defense: str = "none", attack: str = "figstep", **more: Any) -> None:
    ask(store, hits, n, RESTRICTED, defense, attack=attack, expected="refuse", **more)


def row_of(store: FakeStore, defense: str = "wall", victim: str = "v") -> dict[str, Any]:
    (row,) = (row for row in by_defense(ReportedRun(store)) if (row["victim"], row["defense"]) == (victim, defense))
    return row


def section(store: FakeStore) -> str:
    html = page(ReportedRun(store)).split('<section id="defenses">')[1].split("</section>")[0]
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))).replace("\u00a0", " ")


def said(store: FakeStore) -> str:
    console = Console(file=io.StringIO(), width=250)
    console.print(terminal(store))
    return console.file.getvalue()


# The same samples


def test_both_sides_are_counted_on_the_samples_that_both_answered(store):
    attacked(store, 50, 100)
    rows = answers(10, 100)
    for row in rows[:20]:
        row |= {"outcome": "error", "reason": "gone", "reply": ""}
    store.add(rows, defense="wall", attack="figstep")
    row = row_of(store)
    both = range(20, 100)
    hits = sum((k * 10) % 100 < 10 for k in both)
    assert (row["worst"]["n"], row["left_out"]) == (80, 20)
    assert row["worst"]["value"] == pytest.approx(hits / 80)
    assert (row["worst"]["low"], row["worst"]["high"]) == pytest.approx(wilson(hits, 80))
    assert row["worst"]["without"] == pytest.approx(sum((k * 50) % 100 < 50 for k in both) / 80)
    assert row_of(store, "none")["worst"]["n"] == 100  # nothing stands beside it


def test_samples_that_one_side_lacks_are_left_out_and_told(store):
    ask(store, 5, 10)
    store.add(
        [{**row, "sample_id": f"s{k + 5:03d}"} for k, row in enumerate(answers(5, 10))],
        attack="no-attack", dataset=BENIGN, defense="wall", expected="comply",
    )  # fmt: skip
    row = row_of(store)
    assert (row["compliance"]["n"], row["compliance"]["pairs"], row["left_out"]) == (5, 5, 10)
    assert "10 samples left out" in section(store)


def test_an_attack_that_met_only_the_defense_still_counts_as_its_strongest(store):
    attacked(store, 1, 10)
    attacked(store, 1, 10, "wall")
    attacked(store, 9, 10, "wall", attack="told-of-the-wall", craft={"crafting": "adaptive", "queries": 3})
    row = row_of(store)
    assert (row["worst"]["attack"], row["worst"]["value"], row["worst"]["without"]) == ("told-of-the-wall", 0.9, None)
    assert row["left_out"] == 0
    assert row["costs"]["pairs"] == 10


def test_a_study_without_an_undefended_cell_has_rates_and_no_change(store):
    attacked(store, 3, 10, "wall")
    ask(store, 9, 10, defense="wall")
    row = row_of(store)
    assert (row["versus"], row["worst"]["n"], row["compliance"]["value"]) == ("", 10, 0.9)
    assert (row["compliance"]["change"], row["compliance"]["outcome"], row["left_out"]) == (None, "", 0)
    assert {row["costs"][f"extra_{name}"] for name in ("queries", "tokens_in")} == {None}
    assert "cannot be told" in section(store)
    assert "defenses beside" not in said(store)


# Attacks


def test_static_and_adaptive_are_apart_by_what_the_records_say(store):
    attacked(store, 9, 10)
    attacked(store, 2, 10, "wall")
    attacked(store, 3, 10, "wall", attack="pgd", columns={"crafting": "static"})
    attacked(store, 6, 10, "wall", attack="pgd-through", columns={"crafting": "adaptive"})
    row = row_of(store)
    ways = {figure["attack"]: figure["crafted"] for figure in row["attacks"]}
    assert ways == {"figstep": "", "pgd": "static", "pgd-through": "adaptive"}
    told = [row[name] and row[name]["attack"] for name in ("worst", "worst_static", "worst_adaptive")]
    assert told == ["pgd-through", "pgd", "pgd-through"]
    assert "strongest: pgd-through adaptive" in section(store)
    assert "pgd-through (adaptive)" in said(store)


def test_one_cell_that_was_crafted_in_two_ways_is_two_figures(store):
    attacked(store, 5, 10)
    rows = answers(5, 10)
    for k, row in enumerate(rows):
        row["crafting"] = "static" if k < 4 else "adaptive"
    store.add(rows, defense="wall", attack="figstep")
    found = {figure["crafted"]: figure["n"] for figure in row_of(store)["attacks"]}
    assert found == {"static": 4, "adaptive": 6}


def test_the_plain_request_is_the_strongest_attack_only_where_there_is_no_other(store):
    attacked(store, 9, 10, attack="no-attack")
    assert row_of(store, "none")["worst"]["attack"] == "no-attack"
    attacked(store, 1, 10)
    assert row_of(store, "none")["worst"]["attack"] == "figstep"
    assert strongest(ReportedRun(store), []) is None


def test_an_attack_without_a_number_is_told_beside_the_strongest(store):
    for defense in ("none", "wall"):
        attacked(store, 1, 10, defense)
    attacked(store, 8, 10, attack="pgd")
    store.add(attack="pgd", defense="wall", status="failed", reason="out of memory")
    store.add(attack="gcg", defense="wall", status="skipped", reason="needs gradients")
    row = row_of(store)
    assert (row["unmeasured"], len(row["attacks"])) == (2, 3)
    assert [f["reason"] for f in row["attacks"] if f["value"] is None] == [
        "failed: out of memory",
        "skipped: needs gradients",
    ]
    assert "2 of 3 not measured" in section(store)


def test_a_judge_that_says_refused_is_turned(store):
    attacked(store, 2, 10)
    attacked(store, 9, 10, "wall")
    store.extra = {"plugs": store.manifest()["plugs"]}
    store.extra["plugs"]["judges"][SUCCESS] |= {"says": "refused"}
    assert [row_of(store, d)["worst"]["value"] for d in ("none", "wall")] == pytest.approx([0.8, 0.1])


# Usefulness


@pytest.mark.parametrize(
    ("before", "behind", "n", "outcome"),
    [(200, 200, 200, "not worse"), (200, 100, 200, "worse"), (10, 10, 10, "cannot be told")],
)
def test_compliance_has_its_paired_change_and_one_of_three_answers(store, before, behind, n, outcome):
    ask(store, before, n)
    ask(store, behind, n, defense="wall")
    useful = row_of(store)["compliance"]
    assert (useful["outcome"], useful["pairs"]) == (outcome, n)
    assert useful["change"] == pytest.approx((behind - before) / n)
    assert outcome in section(store)
    assert outcome in said(store)


def test_the_change_is_that_of_the_differences(full):
    run = ReportedRun(full)
    compared = {(c.victim, c.defense): c for c in run.differences if c.kind == "utility" and c.dataset == BENIGN}
    rows = [row for row in by_defense(run) if row["is_other"]]
    assert len(rows) == len(compared) == 6
    for row in rows:
        other, useful = compared[row["victim"], row["defense"]], row["compliance"]
        assert (useful["change"], useful["change_low"], useful["change_high"], useful["pairs"]) == pytest.approx(
            (other.difference, other.low, other.high, other.n)
        )
        assert (useful["outcome"] == "worse") == other.lost


def test_the_margin_is_that_of_the_studys_metric(store):
    ask(store, 200, 200)
    ask(store, 180, 200, defense="wall")
    assert (row_of(store)["margin"], row_of(store)["compliance"]["outcome"]) == (MARGIN, "worse")
    told = plug("non-inferiority", "non-inferiority") | {"settings": {"margin": 0.2, "direction": "higher"}}
    store.extra = {
        "metrics": ["non-inferiority"],
        "plugs": store.manifest()["plugs"] | {"metrics": {told["name"]: told}},
    }
    row = row_of(store)
    assert (row["margin"], row["compliance"]["outcome"]) == (0.2, "not worse")
    assert "by more than 20 points" in section(store)


def test_borderline_questions_are_over_refusal_and_no_everyday_use(store):
    for defense, useful, answered in (("none", 9, 8), ("wall", 9, 2)):
        ask(store, useful, 10, defense=defense)
        ask(store, answered, 10, BORDERLINE, defense)
    row = row_of(store)
    assert (row["compliance"]["value"], row["over_refusal"]["value"]) == (0.9, pytest.approx(0.8))
    assert row["over_refusal"]["change"] == pytest.approx(0.6)
    assert {(f["dataset"], f["figure"]): f["kind"] for f in row["sets"]} == {
        (BENIGN, "compliance"): "benign",
        (BENIGN, "benign refusals"): "benign",
        (BENIGN, "false alarms"): "benign",
        (BORDERLINE, "compliance"): "borderline",
        (BORDERLINE, "over-refusal"): "borderline",
        (BORDERLINE, "false alarms"): "borderline",
    }


def test_attacked_harmless_questions_are_no_price_where_they_were_asked_plainly_too(store):
    for defense in ("none", "wall"):
        ask(store, 9, 10, defense=defense)
        ask(store, 0, 10, defense=defense, attack="figstep")
    assert row_of(store)["compliance"]["n"] == 10


def test_right_answers_are_accuracy(store):
    for defense, right in (("none", 8), ("wall", 4)):
        ask(store, right, 10, "own/labels", defense, expected="label")
    row = row_of(store)
    assert (row["accuracy"]["value"], row["accuracy"]["change"]) == (0.4, pytest.approx(-0.4))
    assert row["compliance"]["value"] is None
    assert "accuracy" in section(store)


def test_where_harm_is_judged_refusals_stand_in_for_compliance(store):
    attacked(store, 3, 10)
    ask(store, 9, 10)
    attacked(store, 1, 10, "wall")
    ask(store, 5, 10, defense="wall")
    store.extra = {"plugs": store.manifest()["plugs"]}
    store.extra["plugs"]["judges"][SUCCESS] |= {"aspect": "unsafe", "says": "bad"}
    row = row_of(store)
    assert (row["compliance"]["value"], row["refusals"]["value"]) == (None, 0.5)
    assert "1 − refusals of benign questions" in section(store)


# What was not measured


def test_what_was_not_measured_is_said_and_is_no_zero(store):
    attacked(store, 3, 10)
    attacked(store, 1, 10, "wall")
    row = row_of(store)
    for name in ("compliance", "over_refusal", "accuracy", "false_alarms", "groups", "protection", "balance"):
        assert row[name]["value"] is None, name
        assert row[name]["reason"], name
    told = section(store)
    assert told.count("not measured") >= 6
    assert "No frontier is drawn" in told
    (line,) = (line for line in said(store).splitlines() if "│ wall " in line and "%" in line and "│ v " in line)
    assert line.count("not measured") == 4
    (first, second) = csv.DictReader((write(store).parent / "tables" / "defenses.csv").read_text().splitlines())
    assert (first["defense"], second["defense"], second["compliance_value"]) == ("none", "wall", "")


def test_a_victim_that_the_judge_does_not_know_has_no_success_and_keeps_its_over_refusal(store):
    store.world = ""
    attacked(store, 3, 10)
    ask(store, 9, 10, BORDERLINE)
    row = row_of(store, "none")
    assert (row["worst"], row["over_refusal"]["value"]) == (None, pytest.approx(0.1))
    assert row["balance"]["value"] is None
    assert "no judge of this run may be believed about v here" in section(store)


def test_a_defense_of_which_every_cell_failed_has_its_row(store):
    attacked(store, 3, 10)
    store.add(defense="wall", status="failed", reason="would not load")
    row = row_of(store)
    assert (row["worst"], row["unmeasured"], row["costs"]["n"]) == (None, 1, 0)
    assert row["costs"]["queries"] is None
    assert "not measured: failed: would not load" in section(store)


def test_a_run_of_which_nothing_was_answered_has_a_section(store):
    store.add(status="failed", reason="would not load")
    assert "would not load" in section(store)
    (row,) = by_defense(ReportedRun(store))
    assert row["seconds"] == {"seconds": None, "without": None, "ratio": None}


def test_nothing_is_said_of_a_study_without_defenses_in_the_terminal(store):
    attacked(store, 3, 10)
    assert "defenses beside" not in said(store)
    assert "This study holds no defense" in section(store)


# Costs


# Everywhere


def test_page_json_and_csv_tell_the_same(full):
    run = ReportedRun(full)
    folder = full.path / "report"
    told = json.loads((folder / "report.json").read_text())["tables"]
    rows = list(csv.DictReader((folder / "tables" / "defenses.csv").read_text().splitlines()))
    assert [(row["victim"], row["defense"]) for row in rows] == [(v, d) for v in run.victims for d in run.defenses]
    for row, said_of, wanted in zip(rows, told["defenses"]["rows"], by_defense(run), strict=True):
        assert float(row["worst_value"]) == said_of["worst_value"] == wanted["worst"]["value"]
        assert float(row["compliance_change"] or 0) == (said_of["compliance_change"] or 0)
        assert row["worst_attack"] == wanted["worst"]["attack"]
        assert said_of["compliance_outcome"] == wanted["compliance"]["outcome"]
    marked = [row for row in told["defense_figures"]["rows"] if row["is_worst"]]
    assert len(marked) == len(rows)
    html = (folder / "index.html").read_text()
    assert '<li><a href="#defenses">Defenses</a></li>' in html


def test_every_rate_has_an_interval_and_lies_in_it(full):
    for row in by_defense(ReportedRun(full)):
        figures = [*row["attacks"], *row["sets"], row["compliance"], row["over_refusal"], row["balance"]]
        for figure in figures:
            if figure["value"] is None:
                assert figure["reason"]
            else:
                assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
                assert figure["low"] < figure["high"]
                assert figure["n"] > 0


@pytest.mark.parametrize("label", ["<script>x</script>", "a | b\n[red]", "\u202eevil", "é\u0301 水", "=1+1", ""])
def test_odd_labels_are_shown_and_do_nothing(store, label):
    attacked(store, 5, 10)
    attacked(store, 1, 10, label)
    ask(store, 5, 10)
    ask(store, 5, 10, defense=label)
    html = write(store).read_text()
    assert "<script>" not in html
    assert "\u202e" not in html
    said(store)
    rows = list(csv.DictReader(io.StringIO((store.path / "report" / "tables" / "defenses.csv").read_text())))
    assert not rows[1]["defense"].startswith("=")


@pytest.mark.parametrize(
    "columns",
    [
        {"hit": None},
        {"answered": None},
        {"outcome": "error", "reply": ""},
        {"outcome": "blocked", "reply": ""},
        {"outcome": "filtered", "reply": "", "hit": None, "answered": None},
        {"helpers": ""},
        {"helpers": None, "decisions": None},
        {"reply": ""},
        {"cluster": "one"},
        {"crafting": None},
    ],
)
def test_odd_rows_cost_themselves_at_most(store, columns):
    for defense in ("none", "wall"):
        for dataset, expected in ((RESTRICTED, "refuse"), (BENIGN, "comply"), ("own", "describe")):
            rows = answers(5, 10)
            for row in rows[:5]:
                row |= columns
            store.add(rows, dataset=dataset, expected=expected, defense=defense, attack="no-attack")
    row = row_of(store)
    for name in ("worst", "compliance", "accuracy"):
        assert row[name]["n"] in (5, 10), name
    assert NOT_REFUSED in ReportedRun(store).judges
    assert "not measured" in section(store)
