"""Accuracy and macro-F1: golden values, equality with scikit-learn, and what becomes of unread replies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from evaluation.metrics.scored import table
from proofglass.evaluation.judges.yes_no import YesNo
from proofglass.evaluation.metrics.classification import Classification, folded, truth_of
from proofglass.registry import build
from proofglass.types import Attempt, Chat, Reply, Sample

TRUTH = ["yes" if t else "no" for t in (1, 1, 1, 0, 0, 0, 0, 1, 0, 1)]
SAID = ["yes" if t else "no" for t in (1, 0, 1, 0, 1, 0, 0, 1, 0, 0)]
LETTERS = ("A", "B", "C", "D")


def rows_of(truth, said, judge="yes-no", **more):
    told = [{"references": [t], f"label:{judge}": s} | more for t, s in zip(truth, said, strict=True)]
    return table(*told, needs=(judge,))


def both(rows, **fields):
    return [Classification(figure, **fields).over(rows).value for figure in ("accuracy", "macro-F1")]


def test_the_golden_values():
    assert both(rows_of(TRUTH, SAID)) == pytest.approx([0.7, 0.696970], abs=1e-6)
    unparsed = ["invalid" if k in (1, 8) else said for k, said in enumerate(SAID)]
    # with the labels fixed; 0.444444 is what a third class would make of it
    assert both(rows_of(TRUTH, unparsed)) == pytest.approx([0.6, 0.666667], abs=1e-6)
    assert both(rows_of(["yes", "yes", "no"], ["no"] * 3))[1] == pytest.approx(0.25)


def test_unread_replies_may_be_left_out():
    rows = rows_of(["yes", "yes", "no"], ["yes", "invalid", "yes"])
    assert both(rows) == pytest.approx([1 / 3, 0.25])  # F1(yes) = 2 / (2 + 1 + 1), F1(no) = 0
    assert both(rows, unread="left out") == pytest.approx([1 / 2, 1 / 3])
    nothing = Classification(unread="left out").over(rows_of(["yes"], ["invalid"]))
    assert (nothing.value, nothing.reason) == (None, "no reply was read as one of the labels")


def test_a_withheld_reply_is_an_unread_one_and_a_failed_one_is_left_out():
    rows = table(
        {"references": ["yes"], "label:yes-no": "yes"},
        {"references": ["yes"], "label:yes-no": "unjudged", "outcome": "blocked"},
        {"references": ["yes"], "label:yes-no": None, "outcome": "refused", "reply": ""},
        {"references": ["yes"], "label:yes-no": "unjudged", "outcome": "error"},
        {"references": ["yes"], "label:yes-no": "unjudged"},
        {"references": ["yes"], "label:yes-no": None},
        needs=("yes-no",),
    )
    found = Classification().over(rows)
    assert (found.value, found.n) == (pytest.approx(1 / 3), 3)
    assert Classification(unread="left out").over(rows).n == 1


def test_rows_without_a_truth_are_left_out_and_counted():
    rows = table(
        {"references": ["Yes, there is."], "label:yes-no": "yes"}, {"references": [], "label:yes-no": "yes"},
        {"references": ["perhaps"], "label:yes-no": "yes"}, needs=("yes-no",),
    )  # fmt: skip
    found = Classification().over(rows)
    assert (found.value, found.n) == (1, 1)
    assert found.reason == "left out: 2 rows whose first reference is none of the labels"


def test_multiple_choice_letters():
    judge = "multiple-choice"
    rows = rows_of(["A", "(B).", "c", " D "], ["A", "B", "D", "invalid"], judge)
    assert both(rows, labels=LETTERS, judge=judge) == pytest.approx([0.5, 0.5])
    assert Classification(labels=LETTERS, judge=judge).needs == (judge,)


@given(st.text("0123ABCDabcd ().-", max_size=4) | st.text(max_size=4), st.permutations(LETTERS))
def test_letters_are_read_as_the_judge_of_choices_reads_them(reference, labels):
    sample = Sample("s", "d", Chat.user("?"), references=(reference,), meta={"options": ["red", "blue", "big", "wet"]})
    for letter in LETTERS:
        (score,) = build("judges", "multiple-choice").score([Attempt(sample, sample.chat, Reply(f"Answer: {letter}"))])
        if score.value is not None:
            assert (truth_of([reference], labels) == letter) == (score.value == 1)


def test_places_are_letters_where_the_labels_are_letters_alone():
    rows = rows_of(["1", "0", "(b)"], ["B", "B", "B"], "multiple-choice")
    found = Classification(labels=LETTERS, judge="multiple-choice").over(rows)
    assert (found.value, found.n, found.reason) == (pytest.approx(2 / 3), 3, "")
    assert truth_of(["1"], ("yes", "no")) == truth_of(["1"], ("B", "C")) == truth_of(["0"], ("red", "blue")) == ""


@pytest.mark.parametrize(
    ("reference", "label"),
    [
        ("1", "B"), (" 0 ", "A"), ("\uff13", "D"), ("4", ""), ("-1", ""), ("1.5", ""), ("B", "B"),
        ("(b).", "B"), ("Ｂ", "B"), ("「B」", "B"), ("B or C", ""), ("a b", ""), ("", ""), (None, ""),
    ]
)  # fmt: skip
def test_a_reference_is_one_label_or_none(reference, label):
    assert truth_of([reference], LETTERS) == label
    assert truth_of(None, LETTERS) == truth_of([], LETTERS) == ""


@given(st.sampled_from(["yes", "No.", "YES!", "no, there is none", "Not at all", "Yeah", "perhaps", ""]), st.text())
def test_yes_and_no_are_read_as_the_judge_reads_them(reference, reply):
    sample = Sample("s", "d", Chat.user("?"), references=(reference,))
    (score,) = YesNo().score([Attempt(sample, sample.chat, Reply(reply))])
    truth = truth_of([reference], ("yes", "no"))
    if score.value is not None:
        assert (score.label == truth) == (score.value == 1)


CASES = st.lists(
    st.tuples(st.sampled_from(LETTERS), st.sampled_from([*LETTERS, "invalid"])), min_size=1, max_size=40
)  # fmt: skip


@given(CASES, st.booleans())
def test_both_equal_scikit_learn(pairs, leave_out):
    kept = [pair for pair in pairs if not leave_out or pair[1] != "invalid"]
    rows = rows_of([t for t, _ in pairs], [p for _, p in pairs], "judge")
    found = both(rows, labels=LETTERS, judge="judge", unread="left out" if leave_out else "wrong")
    if not kept:
        assert found == [None, None]
        return
    truth, said = zip(*kept, strict=True)
    expected = f1_score(truth, said, labels=LETTERS, average="macro", zero_division=0)
    assert found == pytest.approx([accuracy_score(truth, said), expected], abs=1e-12)


def test_the_interval_holds_the_value_and_keeps_questions_together():
    random = np.random.default_rng(1)
    truth = random.choice(["yes", "no"], 90)
    said = np.where(random.random(90) < 0.8, truth, "no")
    alone = rows_of(truth, said)
    together = alone.with_columns(cluster=alone["cluster"].str.replace(r"\d$", ""))  # ten rows to a question
    narrow, wide = (Classification("macro-F1").over(rows) for rows in (alone, together))
    assert narrow.low < narrow.value < narrow.high
    assert narrow.value == wide.value
    # Rows are independent here, so a question of ten is worth about ten: the intervals are alike, not ten times wider.
    assert 0.3 < (wide.high - wide.low) / (narrow.high - narrow.low) < 2
    alike = rows_of(np.repeat(["yes", "no"], 45), np.repeat(["yes", "no"], 45))
    assert (Classification("macro-F1").over(alike).value, Classification("macro-F1").over(alike).low) == (1, None)


def test_the_registered_names_and_the_fields():
    assert [build("metrics", name).figure for name in ("accuracy", "macro-f1")] == ["accuracy", "macro-F1"]
    with pytest.raises(ValueError, match="labels: expected different ones"):
        Classification(labels=("A", "(a)"))
    with pytest.raises(ValueError, match="labels"):
        Classification(labels=("A",))
    with pytest.raises(ValueError, match="labels: expected no empty text"):
        Classification(labels=("A", " "))
    assert folded("  “Yes.” ") == "yes"
