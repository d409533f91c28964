"""Target strings: the options beyond the modes (`test_judges.py`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.judges.target_string import TargetString
from proofglass.types import Attempt, Chat, Reply, Sample


def one(judge, text, target="", question="hello ?"):
    sample = Sample("s", "toy", Chat.user(question), target=target)
    (score,) = judge.score([Attempt(sample, sample.chat, Reply(text))])
    return score


def test_normalising_and_stripping_are_options():
    assert one(TargetString(), "ｋite", "kite").value == 1
    assert one(TargetString(nfkc=False), "ｋite", "kite").value == 0
    assert one(TargetString("equals"), " sure\n", "sure").value == 1
    assert one(TargetString("equals", strip=False), " sure\n", "sure").value == 0
    assert one(TargetString(strip=False), "a kite", " kite").value == 1
    assert one(TargetString(strip=False), "kite", " kite").value == 0


def test_a_reply_that_is_its_target_alone_is_not_longer_by_anything():
    judge = TargetString("startswith", more_than=5)
    replies = ("sure , here", "sure , here it ", "sure , here it is", "no")  # 11, 14, 17 characters
    found = [one(judge, text, "sure , here") for text in replies]
    assert [score.label for score in found] == ["said only", "said only", "said", "not said"]
    assert [score.value for score in found] == [0.0, 0.0, 1.0, 0.0]
    assert one(TargetString("startswith", more_than=0), "sure , here", "sure , here").label == "said only"
    with pytest.raises(ValueError, match="more_than: expected at least 0"):
        TargetString(more_than=-1)


def test_the_reason_tells_the_distance_where_it_is_asked_for():
    assert one(TargetString(distance=True), "Kit", "kite").reason == "Levenshtein distance 1"
    assert one(TargetString(distance=True, case_sensitive=True), "Kit", "kite").reason == "Levenshtein distance 2"
    assert one(TargetString(), "Kit", "kite").reason == ""
    template = TargetString("template", distance=True)
    assert one(template, "SEND( hello ? )END", "SEND({question})END").reason == "Levenshtein distance 2"


@given(
    st.sampled_from(["equals", "contains", "startswith", "template"]),
    st.sampled_from(["", " ", "\n\t", "\u2003"]),
    st.text(),
)
def test_an_empty_target_matches_nothing(mode, target, text):
    assert one(TargetString(mode), text, target).value is None


def test_a_template_without_a_question_matches_nothing():
    assert one(TargetString("template"), "anything", "{question}", question=" ").reason.startswith(
        "the sample has no question"
    )
