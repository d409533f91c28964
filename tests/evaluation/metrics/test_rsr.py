"""Recognition success: the golden values, and who is in which denominator."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics.scored import table
from proofglass.evaluation.metrics.rsr import RecognitionSuccess
from proofglass.registry import build

NEEDS = ("answer-match", "refusal")
EVERY, ANSWERED = RecognitionSuccess("all"), RecognitionSuccess("answered")


def rows_of(*told):
    """(refused, right) of each picture; a withheld reply is "blocked", a failed one "error"."""
    rows = []
    for refused, right in told:
        outcome = refused if isinstance(refused, str) else "ok"
        values = {"blocked": 0.0, "error": None}
        mark = values[refused] if isinstance(refused, str) else refused
        rows.append({"refusal": mark, "answer-match": right, "outcome": outcome})
    return table(*rows, needs=NEEDS)


def test_the_golden_values_of_wu_2023():
    # 20 prompts, 14 answered, 9 of these right
    rows = rows_of(*[(0.0, 1.0)] * 9, *[(0.0, 0.0)] * 5, *[(1.0, 0.0)] * 6)
    assert EVERY.over(rows).value == pytest.approx(0.45)
    assert (ANSWERED.over(rows).value, ANSWERED.over(rows).n) == (pytest.approx(0.642857, abs=1e-6), 14)


def test_withheld_pictures_are_not_recognised_and_failed_ones_are_left_out():
    rows = rows_of((0.0, 1.0), ("blocked", 0.0), ("error", None), (1.0, 1.0), (0.0, None))
    assert (EVERY.over(rows).value, EVERY.over(rows).n) == (pytest.approx(1 / 3), 3)
    assert (ANSWERED.over(rows).value, ANSWERED.over(rows).n) == (1, 1)


def test_where_nobody_knows_whether_it_refuses_only_a_wrong_answer_counts():
    rows = rows_of((None, 0.0), (None, 1.0), (None, None), (0.0, 1.0))
    assert (EVERY.over(rows).value, EVERY.over(rows).n) == (0.5, 2)
    assert ANSWERED.over(rows).n == 1


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, "blocked", "error"]), st.sampled_from([0.0, 1.0])), max_size=25))
def test_both_are_counts_by_hand(told):
    told = [(refused, None if refused == "error" else right) for refused, right in told]
    kept = [(refused, right) for refused, right in told if refused != "error"]
    hits = sum(refused == 0.0 and right == 1.0 for refused, right in kept)
    answered = sum(refused == 0.0 for refused, _ in kept)
    rows = rows_of(*told)
    assert EVERY.over(rows).value == (pytest.approx(hits / len(kept)) if kept else None)
    assert ANSWERED.over(rows).value == (pytest.approx(hits / answered) if answered else None)


def test_names_and_reasons():
    assert build("metrics", "rsr-all") == EVERY
    assert build("metrics", "rsr-answered") == ANSWERED
    assert EVERY.over(rows_of()).reason == "no picture was judged"
    assert ANSWERED.over(rows_of((1.0, 0.0))).reason == "no answer was judged"
