"""Accuracy, precision, recall, F1 and the share of yes, from what the judge `yes-no` read."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.metrics.yes_no import YesNo
from proofglass.evaluation.statistics import wilson
from proofglass.registry import build

FIGURES = ("accuracy", "accuracy of all", "precision", "recall", "f1", "share of yes")


def table(*rows):
    """(label, value) of rows of different questions."""
    told = [{"label:yes-no": label, "score:yes-no": value, "cluster": f"q{k}"} for k, (label, value) in enumerate(rows)]
    schema = {"label:yes-no": pl.String, "score:yes-no": pl.Float64, "cluster": pl.String}
    return pl.DataFrame(told, schema=schema)


def figures(rows):
    return {figure: YesNo(figure).over(rows).value for figure in FIGURES}


# 3 right yes, 1 wrong yes, 2 right no, 2 wrong no, 2 invalid, 1 error, 1 blocked (0 by the counting rule)
BY_HAND = [("yes", 1.0)] * 3 + [("yes", 0.0)] + [("no", 1.0)] * 2 + [("no", 0.0)] * 2
BY_HAND += [("invalid", None)] * 2 + [("unjudged", None), ("unjudged", 0.0)]


def test_the_figures_of_a_table_by_hand():
    assert figures(table(*BY_HAND)) == {
        "accuracy": 5 / 8,
        "accuracy of all": 5 / 10,
        "precision": 3 / 4,
        "recall": 3 / 5,
        "f1": pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6)),
        "share of yes": 4 / 10,
    }


def test_the_interval_of_f1_is_that_of_the_share_that_it_grows_with():
    # TP 3, FP 1, FN 2: J = 3/6, F1 = 2 J / (1 + J) = 2/3; the ends of Wilson's interval of 3 of 6 go the same way
    found = YesNo("f1").over(table(*BY_HAND))
    low, high = wilson(3, 6)
    assert (found.n, found.value) == (6, pytest.approx(2 / 3))
    assert (found.low, found.high) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))


def test_without_a_denominator_there_is_no_figure():
    assert set(figures(table()).values()) == {None}
    always_no = figures(table(*[("no", 1.0)] * 3))
    assert (always_no["accuracy"], always_no["precision"], always_no["recall"], always_no["f1"]) == (
        1,
        None,
        None,
        None,
    )
    assert "precision" in YesNo("precision").over(table(("no", 1.0))).reason


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["yes", "no", "invalid"])), max_size=30))
def test_figures_agree_with_truth_and_answer(pairs):
    """pairs: whether yes is right, and what was said."""
    rows = [(said, None if said == "invalid" else float((said == "yes") == truth)) for truth, said in pairs]
    found = figures(table(*rows))
    tp, fp = pairs.count((True, "yes")), pairs.count((False, "yes"))
    tn, fn = pairs.count((False, "no")), pairs.count((True, "no"))
    expected = {
        "accuracy": (tp + tn, tp + tn + fp + fn),
        "accuracy of all": (tp + tn, len(pairs)),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "f1": (2 * tp, 2 * tp + fp + fn),
        "share of yes": (tp + fp, len(pairs)),
    }
    assert found == {name: pytest.approx(a / b) if b else None for name, (a, b) in expected.items()}


def test_every_name_is_a_figure_and_another_one_is_none():
    names = ("accuracy", "accuracy-of-all", "precision", "recall", "f1", "share-of-yes")
    assert tuple(build("metrics", f"yes-no-{name}").figure for name in names) == FIGURES
    with pytest.raises(ValueError, match=r"figure: expected accuracy, .* found 'f2'"):
        YesNo("f2")
