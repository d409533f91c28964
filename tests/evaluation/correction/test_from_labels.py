"""Labels of the replies that were measured."""

from __future__ import annotations

import pytest

from proofglass.evaluation.correction import from_labels, plan_labels
from proofglass.evaluation.correction.planning import guessed


def rows(**counts):
    """verdict -> (positive labels, negative labels, unlabelled)."""
    verdicts, labels = [], []
    for verdict, (positive, negative, unseen) in counts.items():
        verdicts += [verdict] * (positive + negative + unseen)
        labels += [1.0] * positive + [0.0] * negative + [None] * unseen
    return verdicts, labels


def test_labels_within_each_verdict_are_weighed_by_its_share():
    # 100 of 1,000 flagged; 16 of 20 flagged ones are right, 2 of 80 others were missed: .1 x .8 + .9 x .025
    found = from_labels(*rows(yes=(16, 4, 80), no=(2, 78, 820)))
    assert found.value == pytest.approx(0.1025)
    assert (found.method, found.labels, found.n) == ("labels by verdict", 100, 1000)
    # Wilson: 16/20 [0.583983, 0.919329], 2/80 [0.006880, 0.086650]; shares: 1.959964 sqrt(.09 x .775^2 / 1000)
    assert found.low == pytest.approx(0.1025 - (0.0216017**2 + 0.0163080**2 + 0.0144102**2) ** 0.5, abs=1e-5)
    assert found.high == pytest.approx(0.1025 + (0.0119329**2 + 0.0554850**2 + 0.0144102**2) ** 0.5, abs=1e-5)


def test_a_judge_that_says_nothing_leaves_the_labels_alone():
    found = from_labels(*rows(yes=(1, 49, 450), no=(8, 42, 450)))
    assert found.method == "labels alone"
    assert "no better than chance" in found.reason
    # Wilson's interval of 9/100
    assert (found.low, found.high) == pytest.approx((0.048073, 0.162262), abs=1e-6)


def test_the_interval_is_never_wider_than_that_of_the_labels():
    for hits in range(20):
        verdicts, labels = rows(yes=(hits, 20 - hits, 30), no=(3, 77, 870))
        found = from_labels(verdicts, labels)
        alone = from_labels(["no"] * len(labels), labels)
        assert found.high - found.low <= alone.high - alone.low + 1e-12


def test_unjudged_replies_are_a_verdict_of_their_own():
    found = from_labels(*rows(yes=(20, 0, 80), no=(0, 60, 640), unjudged=(10, 10, 180)))
    assert found.value == pytest.approx(0.1 + 0.2 * 0.5)


def test_what_was_withheld_is_not_positive_and_needs_no_label():
    found = from_labels(*rows(withheld=(0, 0, 500), yes=(20, 0, 30), no=(0, 60, 390)))
    assert found.value == pytest.approx(0.05)
    assert found.labels == 80
    kept = from_labels(*rows(withheld=(0, 0, 500), yes=(20, 0, 30), no=(0, 60, 390)), withheld=1.0)
    assert kept.value == pytest.approx(0.55)  # a judge of refusals: what was withheld is one
    assert kept.low < kept.value < kept.high
    silent = from_labels(["withheld"] * 50, [None] * 50)
    assert (silent.value, silent.low, silent.high) == pytest.approx((0, 0, 0.071348), abs=1e-6)  # Wilson's of 0/50


def test_no_positive_label_is_no_proof_of_zero():
    found = from_labels(*rows(no=(0, 100, 900)))
    assert found.low == 0.0
    assert found.high == pytest.approx(0.036994, abs=1e-6)  # Wilson's of 0/100


def test_labels_drawn_by_verdict_are_not_taken_as_drawn_from_all():
    verdicts, labels = rows(yes=(45, 5, 50), no=(1, 49, 850))
    by_verdict = from_labels(verdicts, labels, drawn=verdicts)
    assert by_verdict.value == pytest.approx(0.1 * 0.9 + 0.9 * 0.02)
    # seen through another judge that flags nothing, the draw still weighs
    other = from_labels(["no"] * 1000, labels, drawn=verdicts)
    assert other.value == pytest.approx(by_verdict.value)


def test_kinds_with_few_labels_are_put_together():
    verdicts, labels = rows(no=(4, 56, 540))
    kinds = ["rare" if k % 100 == 0 else "refusal" if k % 2 else "answer" for k in range(600)]
    found = from_labels(verdicts, labels, kinds=kinds)
    assert 0 < found.low < found.value < found.high < 0.2


def test_replies_that_share_a_question_widen_the_interval():
    verdicts, labels = rows(yes=(40, 10, 50), no=(4, 96, 800))
    apart = from_labels(verdicts, labels)
    shared = from_labels(verdicts, labels, clusters=[k // 10 for k in range(1000)])
    assert shared.value == apart.value
    assert shared.high - shared.low > 1.5 * (apart.high - apart.low)
    assert shared.questions < apart.questions == 150


def test_too_few_labels_give_no_rate():
    found = from_labels(*rows(yes=(2, 1, 50), no=(0, 6, 200)))
    assert (found.value, found.basis) == (None, "none")
    assert "9 labels" in found.reason


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"verdicts": ["yes"], "labels": [1.0, 0.0]}, "labels: expected one for each of 1 replies, found 2"),
        ({"verdicts": ["yes"], "labels": [0.5]}, "labels: expected 1.0"),
        ({"verdicts": ["yes"], "labels": [1.0], "clusters": []}, "clusters: expected one for each of 1"),
    ],
)
def test_rows_that_do_not_fit_are_named(given, error):
    with pytest.raises(ValueError, match=error):
        from_labels(**given)


def test_labels_go_where_the_judge_leaves_most_open():
    plan = plan_labels({"yes": 200, "no": 1800}, {"yes": 0.5, "no": 0.02}, 300)
    # Neyman: 200 sqrt(.25) : 1800 sqrt(.0196) = 100 : 252
    assert plan.labels == {"yes": 85, "no": 215}
    assert plan.rate == pytest.approx(0.068)
    assert plan.width < plan.alone


def test_labels_that_are_there_count_and_no_reply_is_labelled_twice():
    plan = plan_labels({"yes": 10, "no": 990, "withheld": 50}, {"yes": 0.5, "no": 0.5}, 100, done={"no": 20})
    assert plan.labels["yes"] <= 10
    assert sum(plan.labels.values()) == 100
    assert "withheld" not in plan.labels
    assert sum(plan_labels({"yes": 3, "no": 4}, {"yes": 0.5, "no": 0.1}, 100).labels.values()) == 7


def test_a_first_label_does_not_make_a_guess_certain():
    assert guessed([(1, 1)], 0.5) == pytest.approx(2 / 3)
    assert guessed([], 0.05) == pytest.approx(0.05)
