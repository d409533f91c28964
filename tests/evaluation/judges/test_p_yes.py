"""The probability of yes: what is added up, and what is unjudged with its fix."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.judges.p_yes import FIX, PYes
from proofglass.registry import build
from proofglass.types import Attempt, Chat, Reply, Sample, Settings

SAMPLE = Sample("s", "d", Chat.user("is there a kite ?"), references=("yes",))


def judged(choices=None, judge=None, **reply):
    (score,) = (judge or PYes()).score([Attempt(SAMPLE, SAMPLE.chat, Reply(**reply, choices=choices or {}))])
    return score


def test_spellings_of_one_word_are_added():
    score = judged({"Yes": 0.3, "yes": 0.1, " Yes": 0.2, "No": 0.2, "perhaps": 0.2}, text="anything")
    assert (score.value, score.label, score.reason) == (pytest.approx(0.6 / 0.8), "probability", "yes")
    assert judged({"Yes": 0.1, "No": 0.3}).reason == "no"
    assert (judged({"Yes": 0.2, "No": 0.2}).value, judged({"Yes": 0.2, "No": 0.2}).reason) == (0.5, "even")


@given(st.floats(0, 1), st.floats(0, 1))
def test_it_is_a_share_that_turns_round_with_the_words(yes, no):
    one, other = judged({"Yes": yes, "No": no}), judged({"Yes": no, "No": yes})
    if yes + no == 0:
        assert one.value is None
        assert one.reason == "the victim gives neither yes nor no any probability"
    else:
        assert one.value == pytest.approx(yes / (yes + no))
        assert one.value + other.value == pytest.approx(1)


@pytest.mark.parametrize("choices", [{}, {"A": 0.5}])
def test_a_victim_that_tells_none_is_unjudged_and_the_fix_is_named(choices):
    score = judged(choices, text="yes")
    assert score.value is None
    assert FIX in score.reason
    assert "choices: ['Yes', 'No']" in score.reason


def test_one_side_alone_is_no_share_unless_it_is_said_so():
    score = judged({"Yes": 0.9})
    assert score.value is None
    assert "told no probability of no" in score.reason
    score = judged({"No": 0.9}, PYes(missing="zero"))
    assert (score.value, score.label) == (0, "probability")
    assert score.reason == "no; the victim told no probability of yes, taken as 0"


@pytest.mark.parametrize("odd", [math.nan, math.inf, -0.1, 1.5, None, "0.5"])
def test_what_is_no_probability_is_unjudged(odd):
    score = judged({"Yes": odd, "No": 0.5})
    assert score.value is None
    assert score.reason.startswith("expected probabilities in 0..1, found ")


@pytest.mark.parametrize("outcome", ["error", "blocked", "filtered", "refused"])
def test_a_reply_that_was_not_said_is_unjudged(outcome):
    assert judged({"Yes": 0.5, "No": 0.5}, outcome=outcome, reason="r").value is None


def test_other_words_and_bad_fields():
    letters = PYes(yes=("A",), no=("B",))
    assert judged({"A": 0.2, "B": 0.6}, letters).value == pytest.approx(0.25)
    with pytest.raises(ValueError, match="yes, no: expected different words, found \\['a'\\] in both"):
        PYes(yes=("A",), no=(" a",))
    with pytest.raises(ValueError, match="yes"):
        PYes(yes=())
    with pytest.raises(ValueError, match="yes"):
        PYes(yes=("",))


def test_of_a_testbed_victim_it_is_the_ratio_of_its_first_token():
    from proofglass.types import Ask

    victim = build("victims", "testbed-linear", device="cpu")
    chat = Chat.user("how do i mend a kite ?")
    (reply,) = victim.reply([Ask(chat, Settings(2, choices=("yes", "no")))])
    (score,) = build("judges", "p-yes").score([Attempt(SAMPLE, chat, reply)])
    logits = victim.next_token_logits([chat])[0]
    yes, no = (logits[victim.encode(word)[0]] for word in ("yes", "no"))
    assert score.value == pytest.approx((yes - no).sigmoid().item(), abs=1e-4)  # softmax over the two
    assert PYes().graded() == PYes()
