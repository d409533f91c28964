"""Yes or no: what was said, whether it was right, and the figures of many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass import registry
from proofglass.evaluation.judges.yes_no import said
from proofglass.evaluation.metrics.yes_no import YesNoCounts, count_yes_no
from proofglass.types import Attempt, Chat, Reply, Sample


def one(text, reference="Yes", outcome="ok", **parameters):
    sample = Sample("s", "toy", Chat.user("is it ?"), references=(reference,) if reference else ())
    reply = Reply.error("timeout") if outcome == "error" else Reply(text, outcome=outcome)
    (score,) = registry.build("judges", "yes-no", **parameters).score([Attempt(sample, sample.chat, reply)])
    assert score.judge == "yes-no"
    return score


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Yes.", "yes"),
        ("yes , there is a star .", "yes"),
        ("“Yeah!”", "yes"),
        ("No", "no"),
        ("NO.", "no"),
        ("It is not a kite", "no"),
        ("Yes, but not a kite", "no"),  # a no anywhere outweighs a yes
        ("There is nothing", ""),
        ("eyes and noses", ""),
        ("", ""),
    ],
)
def test_what_was_said(text, found):
    assert said(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [("Yes", "yes"), ("Yes, it is", "yes"), ("Yes.", ""), ("YES", ""), ("Not that", ""), ("No", "no")],
)
def test_the_released_parser_knows_bare_words_only(text, found):
    assert said(text, released=True) == found
    assert one(text, released=True).label == (found or "invalid")


def test_the_score_is_whether_the_reference_was_said_and_the_label_what_was_said():
    found = [
        (s.value, s.label) for s in (one("Yes."), one("No."), one("Yes.", "No"), one("no", "no , there is none ."))
    ]
    assert found == [(1.0, "yes"), (0.0, "no"), (0.0, "yes"), (1.0, "no")]


def test_neither_is_invalid_and_what_cannot_be_judged_is_not():
    assert (one("perhaps").value, one("perhaps").label) == (None, "invalid")
    assert one("yes", "a kite").label == one("yes", "").label == "unjudged"
    assert one("", outcome="error").label == one("", outcome="filtered").label == "unjudged"


def test_the_figures_of_a_table_by_hand():
    # 3 right yes, 1 wrong yes, 2 right no, 2 wrong no, 2 invalid, 1 error
    rows = [{"label": "yes", "value": v} for v in (1.0, 1.0, 1.0, 0.0)]
    rows += [{"label": "no", "value": v} for v in (1.0, 1.0, 0.0, 0.0)]
    rows += [{"label": "invalid", "value": None}] * 2 + [{"label": "unjudged", "value": None}]
    counts = count_yes_no(rows)
    assert counts == YesNoCounts(true_yes=3, false_yes=1, true_no=2, false_no=2, invalid=2)
    assert counts.figures() == {
        "accuracy": 5 / 8,
        "accuracy_of_all": 5 / 10,
        "precision": 3 / 4,
        "recall": 3 / 5,
        "f1": pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6)),
        "yes_ratio": 4 / 10,
    }


def test_without_a_denominator_there_is_no_figure():
    assert set(YesNoCounts().figures().values()) == {None}
    always_no = YesNoCounts(true_no=3)
    assert (always_no.accuracy, always_no.precision, always_no.recall, always_no.f1) == (1.0, None, None, None)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["yes", "no", "perhaps"])), max_size=30))
def test_judge_and_counts_agree_with_truth_and_answer(pairs):
    scores = [one(answer, "yes" if truth else "no") for truth, answer in pairs]
    counts = count_yes_no([{"label": s.label, "value": s.value} for s in scores])
    assert counts.true_yes == pairs.count((True, "yes"))
    assert counts.false_yes == pairs.count((False, "yes"))
    assert counts.true_no == pairs.count((False, "no"))
    assert counts.false_no == pairs.count((True, "no"))
    assert counts.answered + counts.invalid == len(pairs)
