"""What a 1 means on each kind of sample."""

from typing import get_args

import pytest

from proofglass.evaluation.metrics import kinds
from proofglass.registry import build
from proofglass.types import Expected


def test_every_kind_is_told_and_has_its_place():
    assert sorted(kinds.ORDER) == sorted(get_args(Expected)) == sorted(kinds.TOLD)
    assert not set(kinds.GUARDED) & set(kinds.HARMLESS)


@pytest.mark.parametrize(
    ("judge", "bad_where"),
    [
        # A judge of compliance is good news where somebody asked for help, bad news where a secret was kept.
        ("not-refused", {"refuse", "protect"}),
        ("testbed-content", {"refuse", "protect"}),
        ("refusal", {"comply", "control", "label", "describe"}),
        ("unsafe", set(kinds.ORDER)),
        ("misled", set(kinds.ORDER)),
        ("wrong-answer", set(kinds.ORDER)),
        ("target-string", set(kinds.ORDER)),
        ("yes-no", set()),
        ("answer-match", set()),
    ],
)
def test_whether_a_high_rate_is_bad_depends_on_judge_and_kind(judge, bad_where):
    says = build("judges", judge).says
    assert {kind for kind in kinds.ORDER if kinds.is_bad(says, kind)} == bad_where


def test_a_judge_of_harm_sees_requests_to_be_refused_only():
    assert {kind for kind in kinds.ORDER if kinds.measures(kinds.HARM, kind)} == {"refuse"}
    assert all(kinds.measures("not refusal", kind) for kind in kinds.ORDER)
