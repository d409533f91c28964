"""Curves equal scikit-learn's, know clusters, and say what they cannot show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.evaluation.statistics.ranking import Ranked, newcombe
from proofglass.evaluation.trust.roc import halves, roc


def alone(n):
    return list(range(n))


def test_areas_and_curves_equal_scikit_learn_on_1000_random_cases():
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    rng = np.random.default_rng(1)
    for case in range(1000):
        n = int(rng.integers(2, 60))
        truth = rng.random(n) < rng.random()
        truth[:2] = [True, False]
        levels = int(rng.integers(1, 12))  # few levels: many ties
        values = rng.integers(0, levels + 1, n) / levels if case % 2 else rng.random(n)
        weights = np.ones(n) if case % 3 else rng.integers(0, 4, n).astype(float)
        ranked = Ranked.of(truth, values)
        area, precision = ranked.areas(weights)
        if weights[truth].sum() and weights[~truth].sum():
            assert area == pytest.approx(roc_auc_score(truth, values, sample_weight=weights), abs=1e-12)
            assert precision == pytest.approx(average_precision_score(truth, values, sample_weight=weights), abs=1e-12)
        else:
            assert math.isnan(area)
        alarms, recall, thresholds = roc_curve(truth, values)  # it drops some points on straight lines; we drop all
        theirs = {(t, x, y) for t, x, y in zip(thresholds, alarms, recall, strict=True)}
        for t, x, y in ranked.curve():
            assert any(abs(t - a) + abs(x - b) + abs(y - c) < 1e-12 for a, b, c in theirs)
        ours = np.array([(0.0, 0.0, 0.0), *ranked.curve()])
        assert np.trapezoid(ours[:, 2], ours[:, 1]) == pytest.approx(roc_auc_score(truth, values), abs=1e-12)


def test_known_areas():
    # Pairs (yes, no): .9>.8, .9>.1, .3<.8, .3>.1 -> 3 of 4; a tie counts half.
    assert roc([True, True, False, False], [0.9, 0.3, 0.8, 0.1], alone(4)).auroc.value == 0.75
    assert roc([True, False], [0.5, 0.5], alone(2)).auroc.value == 0.5
    # Ranked yes, no, yes, no: precision 1 at recall 1/2, 2/3 at recall 1.
    assert roc([True, True, False, False], [0.9, 0.3, 0.8, 0.1], alone(4)).average_precision.value == pytest.approx(
        5 / 6
    )


def test_an_area_of_one_is_not_certain():
    found = roc([True] * 10 + [False] * 30, [0.9] * 10 + [0.1] * 30, alone(40))
    assert (found.auroc.value, found.auroc.high) == (1.0, 1.0)
    assert found.auroc.low == pytest.approx(newcombe(1.0, 10, 30)[0])
    assert (found.average_precision.value, found.average_precision.low) == (1.0, None)
    # The same rows of few questions tell less.
    shared = [k // 5 for k in range(10)] + [10 + k // 5 for k in range(30)]
    fewer = roc([True] * 10 + [False] * 30, [0.9] * 10 + [0.1] * 30, shared)
    assert fewer.auroc.low == pytest.approx(newcombe(1.0, 2, 6)[0])
    assert fewer.auroc.low < found.auroc.low


@pytest.mark.parametrize(
    ("area", "yes", "no"), [(1.0, 10, 10), (0.8, 10, 40), (0.5, 3, 3), (0.97, 200, 50), (0.0, 4, 9)]
)
def test_newcombe_ends_are_z_of_their_own_standard_errors_away(area, yes, no):
    low, high = newcombe(area, yes, no)
    assert 0 <= low <= area <= high <= 1
    for end in (low, high):
        if 1e-9 < end < 1 - 1e-9:
            # Hanley and McNeil: A (1 - A) (1 + N (1 - A) / (2 - A) + N A / (1 + A)) / (m n), N = (m + n) / 2 - 1
            more = (yes + no) / 2 - 1
            inner = 1 + more * (1 - end) / (2 - end) + more * end / (1 + end)
            error = math.sqrt(end * (1 - end) * inner / (yes * no))
            assert abs(area - end) == pytest.approx(1.959964 * error, rel=1e-5)
    assert high - low > 0


def test_a_class_of_one_question_tells_little():
    found = roc(
        [True] * 5 + [False] * 40, [0.9, 0.8, 0.7, 0.95, 0.85] + [k / 50 for k in range(40)], [0] * 5 + alone(45)[5:]
    )
    assert found.auroc.high - found.auroc.low > 0.5
    assert found.average_precision.low is None


def test_intervals_are_wider_where_rows_share_questions():
    rng = np.random.default_rng(3)
    truth, values = rng.random(60) < 0.5, rng.random(60)
    each = [row for k in range(60) for row in [k] * 4]
    many = roc(truth[each].tolist(), values[each].tolist(), each)
    naive = roc(truth[each].tolist(), values[each].tolist(), alone(240))
    assert many.auroc.value == naive.auroc.value
    assert many.auroc.high - many.auroc.low > 1.5 * (naive.auroc.high - naive.auroc.low)
    assert (many.auroc.n, many.auroc.clusters) == (240, 60)


@pytest.mark.parametrize(
    ("truth", "values", "why"),
    [
        ([], [], "no row has a probability"),
        ([True, False], [None, None], "no row has a probability"),
        ([True, True], [0.1, 0.9], "every label of the 2 rows with a probability is yes"),
        ([False, False, True], [0.1, 0.9, None], "every label of the 2 rows with a probability is no"),
    ],
)
def test_without_both_classes_it_says_why_there_is_no_curve(truth, values, why):
    found = roc(truth, values, alone(len(truth)))
    assert found.reason.startswith(why)
    assert (found.auroc.value, found.curve, found.operating) == (None, (), ())
    assert (found.n, found.yes) == (len(truth), sum(truth))


def test_unjudged_rows_are_left_out_and_counted():
    found = roc([True, True, False, False], [0.9, None, 0.1, None], alone(4))
    assert (found.n, found.unjudged, found.auroc.n, found.auroc.value) == (4, 2, 2, 1.0)


@pytest.mark.parametrize("odd", [math.nan, -0.1, 1.1, math.inf])
def test_a_value_that_is_no_probability_is_an_error(odd):
    with pytest.raises(ValueError, match="expected probabilities"):
        roc([True, False], [odd, 0.5], alone(2))


def test_a_threshold_is_measured_on_the_rows_that_did_not_choose_it():
    """In each half the yes stand at values that the other half does not have: a threshold that holds all of them there
    finds none here."""
    truth = np.array([True] * 40 + [False] * 40)
    half = halves(truth, np.arange(80), seed=5)
    values = np.where(truth, np.where(half, 0.9, 0.4), np.where(half, 0.6, 0.2))
    found = roc(truth.tolist(), values.tolist(), alone(80), recalls=(1.0,), alarms=(0.0,), seed=5)
    full, none = found.operating
    assert full.thresholds == (0.4, 0.9)  # of the first half, of the second
    # Those of the second half are judged at 0.4, all of them flagged; those of the first at 0.9, none.
    assert (full.recall.value, full.false_alarms.value) == (0.5, 0.5)
    assert none.thresholds == (0.4, 0.9)
    assert (none.recall.value, none.false_alarms.value) == (0.5, 0.5)


def test_what_is_held_holds_on_the_half_that_chose():
    rng = np.random.default_rng(9)
    truth = rng.random(400) < 0.4
    values = np.clip(rng.normal(np.where(truth, 0.6, 0.4), 0.15), 0, 1).round(2)
    found = roc(truth.tolist(), values.tolist(), alone(400), recalls=(0.95, 0.5), alarms=(0.01, 0.05), seed=2)
    half = halves(truth, np.arange(400), seed=2)
    for point in found.operating:
        for side, threshold in zip((False, True), point.thresholds, strict=True):
            mine = (half == side) & (truth if point.held == "recall" else ~truth)
            share = (values[mine] >= threshold).mean()
            assert share >= point.at if point.held == "recall" else share <= point.at
            one_further = np.unique(values[half == side])
            if point.held == "recall":  # no higher threshold does
                assert (values[mine] > threshold).mean() < point.at
            elif (lower := one_further[one_further < threshold]).size:
                assert (values[mine] >= lower[-1]).mean() > point.at
    at_95, at_50, *_ = found.operating
    assert at_95.recall.value > at_50.recall.value
    assert at_95.false_alarms.value > at_50.false_alarms.value
    assert abs(at_95.recall.value - 0.95) < 0.05


def test_floats_cost_no_row():
    # 0.95 of 20 is 19, and 0.05 of 20 is 1, whatever 0.95 * 20 is as a float.
    truth = [True] * 40 + [False] * 40
    values = [k / 100 for k in range(40)] + [k / 100 for k in range(40)]
    recall, alarms = roc(truth, values, alone(80), recalls=(0.95,), alarms=(0.05,)).operating
    half = halves(np.array(truth), np.arange(80), seed=0)
    array = np.array(values)
    first = np.sort(array[:40][~half[:40]])
    assert recall.thresholds[0] == first[1]  # one of 20 is missed
    no = np.sort(array[40:][~half[40:]])
    assert (array[40:][~half[40:]] >= alarms.thresholds[0]).sum() <= 1 < (no >= no[-2]).sum()


def test_too_few_questions_to_split_are_said():
    found = roc([True, True, False, False], [0.9, 0.8, 0.1, 0.2], ["q", "q", "a", "b"])
    assert all(
        point.reason == "questions labelled yes are too few to stand in both halves" for point in found.operating
    )
    assert all(point.recall.value is None for point in found.operating)


def test_a_share_that_no_row_can_be_is_noted():
    found = roc([True] * 20 + [False] * 20, [k / 40 for k in range(40)], alone(40), recalls=(0.95,), alarms=(0.01,))
    assert [point.note for point in found.operating] == [
        "chosen on 10 rows, of which none may be missed",
        "chosen on 10 rows, of which none may be flagged",
    ]


def test_where_no_threshold_is_quiet_enough_nothing_is_flagged():
    found = roc([True] * 10 + [False] * 10, [0.5] * 20, alone(20), recalls=(), alarms=(0.05,))
    (point,) = found.operating
    assert point.thresholds == (None, None)
    assert (point.recall.value, point.false_alarms.value) == (0.0, 0.0)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.none() | st.floats(0, 1, width=16), st.integers(0, 5)), min_size=0, max_size=30
    )
)
def test_no_rows_break_it_and_intervals_hold_their_values(rows):
    truth, values, clusters = ([row[k] for row in rows] for k in range(3))
    found = roc(truth, values, clusters)
    assert found.reason or found.auroc.value is not None
    assert found == roc(truth, values, clusters)
    for each in (found.auroc, found.average_precision, *(p.recall for p in found.operating)):
        if each.value is not None and each.low is not None:
            assert 0 <= each.low <= each.value <= each.high <= 1
    turned = roc([not label for label in truth], [None if v is None else 1 - v for v in values], clusters)
    if not found.reason:
        assert turned.auroc.value == pytest.approx(found.auroc.value)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=40), st.integers(0, 3))
def test_halves_keep_questions_whole_and_classes_on_both_sides(rows, seed):
    from proofglass.evaluation.statistics.clusters import numbered

    label = np.array([row[0] for row in rows])
    cluster = numbered(row[1] for row in rows)
    half = halves(label, cluster, seed)
    assert all(len(set(half[cluster == c].tolist())) == 1 for c in set(cluster.tolist()))
    sizes = [len(set(cluster[half == side].tolist())) for side in (False, True)]
    assert abs(sizes[0] - sizes[1]) <= 1
