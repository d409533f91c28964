"""Differences in the report: the numbers of the comparisons, on the page, in the files, on the terminal."""

from __future__ import annotations

import csv
import io
import json

import pytest
from rich.console import Console

from proofglass.evaluation.metrics.compare import Comparison
from proofglass.report import differences, terminal, write
from proofglass.report.run import ReportedRun
from proofglass.report.wording import chance, points
from report.fake_run import answers

PLACE = {"attack": "no-attack"}


@pytest.fixture
def compared(store):
    """An attack that breaks 60 of 100 where none broke 5, a defense that stops it and costs nothing that shows."""
    store.add(answers(5, 100), attack="no-attack")
    store.add(answers(60, 100), attack="figstep")
    store.add(answers(10, 100), attack="figstep", defense="shield")
    for defense, good in (("none", 400), ("shield", 399)):
        store.add(answers(good, 400), attack="no-attack", defense=defense, dataset="testbed/benign", expected="comply")
    return store


def everywhere(store):
    folder = write(store).parent
    console = Console(file=io.StringIO(), width=1000)
    console.print(terminal(store))
    page, printed = (folder / "index.html").read_text(), console.file.getvalue()
    rows = list(csv.DictReader((folder / "tables" / "differences.csv").open()))
    told = json.loads((folder / "report.json").read_text())
    return page.replace("\u00a0", " "), printed.replace("\u00a0", " "), rows, told


def test_a_finding_is_a_sentence_on_the_terminal_and_a_row_everywhere(compared):
    page, printed, rows, told = everywhere(compared)
    assert "1 of 1 attacked cells differ from no attack; largest: figstep against no-attack in v x none" in printed
    assert "60 % against 5 %, +5" in printed
    assert "1 of 1 defended cells are shown to lose less than 5 points of compliance" in printed
    assert [row["kind"] for row in rows] == ["attack", "defense", "utility"]
    assert rows[0]["found"] == "True"
    assert float(rows[0]["difference"]) == pytest.approx(0.55)
    assert [row["difference"] for row in told["tables"]["differences"]["rows"]] == [
        pytest.approx(float(row["difference"])) for row in rows
    ]
    assert told["differences"] == differences.sentences(ReportedRun(compared))
    for title in differences.TITLES.values():
        assert (title in page) == (title != "Victims against each other")
    assert '<section id="differences">' in page


def test_a_loss_beyond_the_margin_is_told_and_is_no_finding(store):
    for defense, good in (("none", 100), ("shield", 60)):
        store.add(answers(good, 100), attack="no-attack", defense=defense, dataset="testbed/benign", expected="comply")
    page, printed, (row,), _ = everywhere(store)
    beyond = "1 to lose more (each by its own interval, unadjusted)"
    claim = f"0 of 1 defended cells are shown to lose less than 5 points of compliance, {beyond}"
    assert f"{claim}; most lost: shield against none in v x no-attack x testbed/benign, 60 % against 100 %" in printed
    assert claim in page
    assert (row["found"], row["lost"]) == ("False", "True")
    assert '<span class="note bad">lost</span>' in page
    assert "That is said row by row and not adjusted." in page


def test_without_a_finding_the_terminal_is_silent_and_the_page_says_none_of(store):
    store.add(answers(5, 20), attack="no-attack")
    store.add(answers(6, 20), attack="figstep")
    page, printed, rows, _ = everywhere(store)
    assert "differ from no attack" not in printed
    assert "Attacks against no attack: 0 of 1 attacked cells differ from no attack" in page
    assert rows[0]["found"] == "False"


def test_where_nothing_can_be_paired_the_page_says_so(store):
    store.add(answers(5, 20), attack="figstep")
    page, _, rows, _ = everywhere(store)
    assert "Nothing to compare" in page
    assert rows == []


def test_cells_that_are_not_done_and_victims_without_a_valid_judge_are_not_compared(store):
    store.add(answers(5, 20), attack="no-attack")
    store.add(answers(20, 20), attack="figstep", status="pending")
    assert ReportedRun(store).differences == []
    store.world = "another world"
    store.add(answers(20, 20), attack="pgd")
    assert ReportedRun(store).differences == []


def test_pairs_left_out_and_few_questions_stand_beside_the_row(store):
    rows = answers(5, 40)
    store.add([{**row, "cluster": f"q{k % 8}"} for k, row in enumerate(rows)], attack="no-attack")
    failed = [{**row, "cluster": f"q{k % 8}", **({"outcome": "error"} if k < 3 else {})} for k, row in enumerate(rows)]
    store.add(failed, attack="figstep")
    page, _, (row,), _ = everywhere(store)
    assert (row["n"], row["dropped"], row["few_clusters"]) == ("37", "3", "True")
    assert "3 left out" in page
    assert "only 8 questions" in page


def test_a_long_table_is_cut_on_the_page_with_its_findings_first(store, monkeypatch):
    monkeypatch.setattr(differences, "SHOWN", 2)
    store.add(answers(0, 50), attack="no-attack")
    for number, hits in enumerate((0, 1, 40)):
        store.add(answers(hits, 50), attack=f"attack-{number}")
    (group,) = differences.shown(ReportedRun(store))
    assert [row["attack"] for row in group["rows"]] == ["attack-2", "attack-0"]
    assert group["every"] == 3
    assert "1 more: tables/differences.csv" in everywhere(store)[0]


def test_points_and_p_values_read_as_people_write_them():
    row = {"difference": 0.314, "low": 0.2, "high": 0.42, "n": 100}
    assert points(row).replace("\u00a0", " ") == "+31 [20, 42]"
    assert points({**row, "difference": -0.0316, "low": -0.05, "high": 0.01, "n": 2000}).startswith("-3.2")
    assert points(vars(Comparison("attack", "j", *"vadse", 0, 0, 0.0, 1, 0))) == "—"
    assert [chance(p).replace("\u00a0", " ") for p in (None, 1e-9, 0.0123, 0.5)] == ["—", "< 0.001", "0.012", "0.50"]
