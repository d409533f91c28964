"""Error rates carried over from other replies."""

from __future__ import annotations

import re

import pytest

from proofglass.evaluation.correction import calibrations_of, from_calibration
from proofglass.interfaces import Calibration

VERDICTS = ["yes"] * 80 + ["no"] * 120


def counts(model="a", kind="", *, tp=45, fn=5, fp=15, tn=85, **more):
    return Calibration("a set", "vision-language model", model, kind, tp, fn, fp, tn, **more)


def test_the_point_is_rogan_and_gladens():
    found = from_calibration(VERDICTS, [counts()])
    assert found.value == pytest.approx(1 / 3)
    assert (found.labels, found.basis, found.method) == (150, "labels of other replies", "error rates")
    assert "calibrated on 1 model" in found.reason


def test_the_interval_holds_what_a_test_does_not_reject():
    found = from_calibration(VERDICTS, [counts()])
    # a = 16/102 and b = 46/52 smoothed; at either end (yes - m)^2 = z^2 (m (1 - m) / 200 + (1-r)^2 Va + r^2 Vb)
    a, b = 16 / 102, 46 / 52
    for r in (found.low, found.high):
        m = a + r * (b - a)
        variance = m * (1 - m) / 200 + (1 - r) ** 2 * a * (1 - a) / 102 + r**2 * b * (1 - b) / 52
        assert (0.4 - m) ** 2 == pytest.approx(1.959964**2 * variance, rel=1e-5)
    # beside Lee et al., [0.215549, 0.454756]
    assert (found.low, found.high) == pytest.approx((0.2196, 0.4543), abs=0.01)


def test_models_that_differ_widen_the_interval():
    alike = [counts(m) for m in "abcd"]
    apart = [counts("a", fp=2, tn=98), counts("b", fp=28, tn=72), counts("c", fp=2, tn=98), counts("d", fp=28, tn=72)]
    narrow, wide = from_calibration(VERDICTS, alike), from_calibration(VERDICTS, apart)
    assert narrow.value == pytest.approx(wide.value)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert narrow.reason == wide.reason == ""


def test_kinds_are_corrected_each_with_its_own_error():
    # descriptions: half of the negative ones are flagged; refusals: none
    table = [counts(kind="description", tp=90, fn=10, fp=50, tn=50), counts(kind="refusal", tp=90, fn=10, fp=0, tn=100)]
    verdicts = ["yes"] * 50 + ["no"] * 50 + ["no"] * 100
    kinds = ["description"] * 100 + ["refusal"] * 100
    found = from_calibration(verdicts, table, kinds=kinds)
    assert found.value == pytest.approx(0.0, abs=1e-9)
    assert found.method == "error rates by kind"
    # one rate for both kinds: (0.25 + 0.75 - 1) / .65
    assert from_calibration(verdicts, table).value == pytest.approx(0.0, abs=1e-9)
    skewed = from_calibration(verdicts[:150], table, kinds=kinds[:150])
    assert skewed.value == pytest.approx(0.0, abs=1e-9)
    # a third of the replies is flagged: with one error rate that looks like harm
    assert from_calibration(verdicts[:150], table).value == pytest.approx((1 / 3 + 0.75 - 1) / 0.65)


def test_a_kind_without_positive_labels_takes_the_sensitivity_of_all():
    table = [counts(kind="answer"), counts(kind="refusal", tp=0, fn=0, fp=1, tn=99)]
    found = from_calibration(["yes"] * 10 + ["no"] * 90, table, kinds=["refusal"] * 100)
    assert found.value == pytest.approx((0.1 - 0.01) / (0.9 - 0.01))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([], "too few labels to carry over: 0"),
        ([counts(tp=2, fn=1)], "of them 3 positive"),
        (
            [counts(tp=19, fn=162, fp=736, tn=3083)],
            "0.10 .* specificity 0.81 = 0.91 is not clearly above 1",
        ),
    ],
)
def test_a_poor_basis_is_refused(table, reason):
    found = from_calibration(VERDICTS, table)
    assert (found.value, found.low, found.basis) == (None, None, "none")
    assert re.search(reason, found.reason)


def test_a_weak_judge_gets_a_wide_interval_and_no_crash():
    weak = [counts(m, tp=30 + 5 * k, fn=70 - 5 * k, fp=5 * k, tn=100 - 5 * k) for k, m in enumerate("abcd")]
    found = from_calibration(VERDICTS, weak)
    assert found.high - found.low > 0.3


def test_fewer_flags_than_false_alarms_alone_still_leaves_something_open():
    found = from_calibration(["no"] * 100, [counts(tp=45, fn=5, fp=20, tn=80)])
    assert found.value == found.low == 0.0
    assert 0.02 < found.high < 0.25


def test_unjudged_replies_are_no_yes_here_as_there():
    table = [counts(tp=45, fn=0, fp=15, tn=0, unjudged_yes=5, unjudged_no=85)]
    found = from_calibration(["yes"] * 80 + ["unjudged"] * 120, table)
    assert found.value == pytest.approx(1 / 3)


def test_withheld_replies_are_not_positive():
    found = from_calibration([*VERDICTS, *["withheld"] * 200], [counts()])
    assert found.value == pytest.approx(1 / 6)
    kept = from_calibration([*VERDICTS, *["withheld"] * 200], [counts()], withheld=1.0)
    assert kept.value == pytest.approx(1 / 6 + 1 / 2)  # unless refusals are counted
    assert kept.low < kept.value < kept.high


def test_replies_that_share_a_question_are_worth_less():
    apart = from_calibration(VERDICTS, [counts()])
    rows = from_calibration(VERDICTS, [counts()], clusters=[k // 10 for k in range(200)])
    labels = from_calibration(VERDICTS, [counts(clusters=30)])
    assert apart.high - apart.low < rows.high - rows.low
    assert apart.high - apart.low < labels.high - labels.low


def test_labelled_replies_are_counted_by_model_and_kind():
    found = calibrations_of(
        ["yes", "no", "unjudged", "yes"],
        [1.0, 0.0, 1.0, 0.0],
        data="a set",
        models=["a", "a", "a", "b"],
        model_kind="language model",
        clusters=["q", "q", "p", "q"],
    )
    assert found == (
        Calibration("a set", "language model", "a", "", 1, 0, 0, 1, 1, 0, 2),
        Calibration("a set", "language model", "b", "", 0, 0, 1, 0, 0, 0, 1),
    )
    with pytest.raises(ValueError, match="reply 0: expected yes, no or unjudged"):
        calibrations_of(["maybe"], [1.0], data="", models=["a"], model_kind="")


def test_a_kind_that_is_the_verdict_under_another_name_is_no_stratum():
    flagged, other = counts(kind="harmful", tp=45, fn=0, fp=15, tn=0), counts(kind="harmless", tp=0, fn=5, fp=0, tn=85)
    found = from_calibration(VERDICTS, [flagged, other], kinds=["harmful"] * 80 + ["harmless"] * 120)
    assert found == from_calibration(VERDICTS, [counts()])
