"""Samples whose fields hold what no loader should put there: unjudged with the reason, where the rubric needs them."""

from __future__ import annotations

import pytest

from judge_models import LLM_JUDGES, answering, attempt, by, scored
from proofglass.evaluation.judges.llm import RUBRICS

ODD = (None, 3, 2.5, b"rinse", ["a"], {"a": "b"}, {"a"}, True)
FINE = {"category": "06-Fraud", "references": ("rinse it",), "target": "sure"}


def judged(name, **fields):
    return scored(by(answering, name), attempt(**{**FINE, **fields}))


def needs(name, field):
    rubric = by(answering, name).method
    return {"references": "reference" in rubric.shows, "target": rubric.outlasts_target,
            "category": rubric.scenario_of is not None}[field]  # fmt: skip


@pytest.mark.parametrize("name", LLM_JUDGES)
@pytest.mark.parametrize("odd", [*(each for each in ODD if each != ["a"]), "abc", [None], [1, "a"], [["a"]]], ids=repr)
def test_odd_references_cost_the_sample_where_they_are_shown(name, odd):
    score = judged(name, references=odd)
    assert (score.value is None) == needs(name, "references")
    assert not needs(name, "references") or "references: expected" in score.reason


@pytest.mark.parametrize("name", LLM_JUDGES)
@pytest.mark.parametrize("field", ["category", "target"])
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_odd_category_or_target_costs_the_sample_where_it_decides(name, field, odd):
    score = judged(name, **{field: odd})
    assert (score.value is None) == needs(name, field)
    assert not needs(name, field) or f"{field}: expected a text, found {type(odd).__name__}" in score.reason


def test_a_named_scenario_makes_the_category_idle():
    assert scored(by(answering, "mm-safetybench", scenario="general"), attempt(category=None)).value == 1.0


def test_these_judges_cover_every_rubric():
    assert {by(answering, name).method.name for name in LLM_JUDGES} == set(RUBRICS)
