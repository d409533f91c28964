"""Success against budget: one run per budget, what spends nothing once, one page that runs no script."""

from __future__ import annotations

import csv
import dataclasses

import pytest

from proofglass.errors import UsageError
from proofglass.report import curves
from proofglass.studies import curve_study, located
from proofglass.studies.study import parse
from proofglass.types import Budget

STUDY = """\
name: curve
seed: 3
chunk: 6
victims: [testbed-linear]
attacks:
  - no-attack
  - pgd: {epsilon: 16/255, steps: 40}
datasets:
  - testbed: {part: restricted-image, n: 6}
judges: [testbed-content]
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "s.yaml").write_text(STUDY)
    return parse(located.read(tmp_path / "s.yaml"))


def test_each_budget_is_a_run_and_nobody_passes_it(study, tmp_path):
    stores = curve_study(study, tmp_path / "out", [9, 45], progress=False)
    page = curves.write(stores, tmp_path / "out").read_text()
    with (tmp_path / "out" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["attack"], r["budget"]) for r in rows] == [("no-attack", ""), ("pgd", "9"), ("pgd", "45")]
    assert [0 < float(r["forward_equivalents"]) <= float(r["budget"]) for r in rows[1:]] == [True, True]
    assert all(float(r["low"]) <= float(r["value"]) <= float(r["high"]) for r in rows)
    assert "<script" not in page
    assert page.count('class="trail"') == 2  # pgd, against equivalents and against seconds
    assert page.count('class="level"') == 2  # no-attack spends nothing


def test_an_attack_that_cannot_pay_its_first_step_runs_at_the_larger_budgets(study, tmp_path):
    stores = curve_study(study, tmp_path / "out", [1, 9], limit=2, progress=False)
    rows = [r for r in curves.points(stores).rows if r["attack"] == "pgd"]
    assert [r["forward_equivalents"] > 0 for r in rows] == [False, True]
    assert curves.charts(curves.points(stores))[0]["lines"][1]["marks"][0]["title"].endswith("n = 2")


@pytest.mark.parametrize("budgets", [[], [30, 10], [0, 5], [5, 5], ["5 s", "6 queries"], ["soon"], [float("nan")]])
def test_budgets_that_do_not_increase_are_refused(study, tmp_path, budgets):
    with pytest.raises(UsageError, match="budgets"):
        curve_study(study, tmp_path / "out", budgets, progress=False)


def test_a_budget_in_seconds_is_read_and_kept_as_such(tmp_path):
    (tmp_path / "s.yaml").write_text(STUDY + "budget: 2.5 s\n")
    timed = parse(located.read(tmp_path / "s.yaml"))
    assert timed.budget == Budget(2.5, "seconds")
    assert timed.budget.plain == "2.5 s"
    for bad in ("soon", "-1 s", "0 s"):
        (tmp_path / "bad.yaml").write_text(STUDY + f"budget: {bad}\n")
        with pytest.raises(UsageError, match="budget"):
            parse(located.read(tmp_path / "bad.yaml"))


@pytest.mark.parametrize("text", ["500 queries", "10000 tokens", "2.5 USD", "60 s", "200", "12.5"])
def test_a_study_takes_a_budget_in_any_unit_and_another_unit_is_another_plan(tmp_path, text):
    from proofglass.studies.plan import expand, manifest

    def planned(budget):
        (tmp_path / "s.yaml").write_text(STUDY + f"budget: {budget}\n")
        return expand(parse(located.read(tmp_path / "s.yaml")), 2)

    plan = planned(text)
    assert plan.study.budget == Budget.read(text)
    assert Budget.read(manifest(plan)["budget"]) == plan.study.budget
    other = planned(f"{plan.study.budget.amount} {'s' if 'quer' in text else 'queries'}")
    assert {cell.key for cell in plan.cells}.isdisjoint(cell.key for cell in other.cells)


def test_a_curve_of_queries_has_a_folder_and_a_column_for_each(study, tmp_path):
    stores = curve_study(study, tmp_path / "out", ["3 queries", "15 queries"], limit=2, progress=False)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["budget-15-queries", "budget-3-queries"]
    rows = [r for r in curves.points(stores).rows if r["attack"] == "pgd"]
    assert [r["budget"] for r in rows] == ["3 queries", "15 queries"]
    assert rows[0]["forward_equivalents"] < rows[1]["forward_equivalents"] <= 3 * 15
    assert "15 queries" in curves.write(stores, tmp_path / "page").read_text()


def test_a_report_says_that_seconds_are_not_reproducible(study, tmp_path):
    from proofglass.report import write
    from proofglass.studies import run_study

    timed = dataclasses.replace(study, budget=Budget(0.5, "seconds"))
    page = write(run_study(timed, tmp_path / "run", limit=2, progress=False)).read_text()
    assert "0.5 s" in page
    assert "Not reproducible" in page
