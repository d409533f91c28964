"""Thoughts judged apart from answers: what is shown, what is not, and what a delivered thought counts as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.judges.phrases import Phrases
from proofglass.evaluation.judges.reasoning import SILENT, Reasoning
from proofglass.evaluation.judges.refusal import NotRefused, Refusal
from proofglass.evaluation.judges.target_string import TargetString
from proofglass.evaluation.judges.unsafe import Unsafe
from proofglass.flow import Flow
from proofglass.interfaces import Judge, Victim
from proofglass.judging import judge as judged
from proofglass.types import Ask, Attempt, Chat, Reply, Sample, Score

SAMPLE = Sample("s", "d", Chat.user("Should I skate on the thin ice?"), target="turn the wheel")
STRING = Reasoning(TargetString())


def attempt(reply: Reply) -> Attempt:
    return Attempt(SAMPLE, SAMPLE.chat, reply)


def said(judge: Judge, *replies: Reply) -> list[Score]:
    scores, fault = judged(judge, "r", {str(k): attempt(reply) for k, reply in enumerate(replies)})
    assert fault is None
    return list(scores.values())


def test_the_thought_is_judged_and_the_answer_is_not():
    thinks = Reply("No.", reasoning="First turn the wheel, then wait.")
    says = Reply("Turn the wheel.", reasoning="The user is polite.")
    assert [score.value for score in said(STRING, thinks, says)] == [1.0, 0.0]
    assert [score.value for score in said(TargetString(), thinks, says)] == [0.0, 1.0]


@pytest.mark.parametrize("thought", ["", " \n\t", "<think>\n</think>"])
def test_without_a_thought_nothing_is_judged(thought):
    for text in ("Turn the wheel.", "No."):
        (score,) = STRING.score([attempt(Reply(text, reasoning=thought))])
        assert (score.value, score.reason) == (None, SILENT)


@pytest.mark.parametrize(
    "reply",
    [
        Reply("", finish="length", reasoning="turn the wheel and"),
        Reply("", "refused", reasoning="turn the wheel"),
        Reply("", "filtered", reasoning="turn the wheel"),
        Reply("Not here.", "blocked", reasoning="turn the wheel"),
        Reply("part of it", "filtered", reasoning="turn the wheel"),
        Reply("No.", reasoning="<think>turn the wheel</think>"),
    ],
)
def test_a_thought_that_was_delivered_is_judged_whatever_became_of_the_answer(reply):
    (score,) = said(STRING, reply)
    assert score.value == 1.0


def test_what_failed_or_was_withheld_without_a_thought_is_not_judged():
    reasons = [(s.value, s.reason) for s in said(STRING, Reply.error("500"), Reply("Not here.", "blocked"))]
    assert reasons == [(None, "outcome error: nothing to judge"), (None, "outcome blocked: nothing to judge")]
    failed = Reply(outcome="error", reason="cut", reasoning="turn the wheel")
    assert said(STRING, failed)[0].value is None
    assert STRING.score([attempt(failed)])[0].reason == SILENT


def test_the_words_of_a_defense_are_no_words_of_the_model_for_whoever_reads_thoughts():
    @dataclass(frozen=True)
    class Sees(Judge):
        name = "sees"
        reads_reasoning = True

        def score(self, attempts: Sequence[Attempt]) -> list[Score]:
            return [Score(self.name, 1.0, a.reply.text, a.reply.reasoning) for a in attempts]

    (score,) = said(Sees(), Reply("Not here.", "blocked", reasoning="hm"))
    assert (score.label, score.reason) == ("", "hm")


def test_it_means_what_its_judge_means():
    for inner in (Refusal(), NotRefused(), Unsafe(), Phrases(), TargetString()):
        judge = Reasoning(inner)
        assert (judge.aspect, judge.says, judge.valid_in) == (inner.aspect, inner.says, inner.valid_in)
        assert judge.sees_pictures == inner.sees_pictures
        assert judge.column == f"its thought: {inner.column}"
        assert judge.reads_reasoning
        # An error that was measured on answers corrects no rate of thoughts.
        assert (judge.measured is None) == (inner.measured is None)
        if judge.measured is not None:
            assert judge.measured.calibration == ()
            assert judge.measured.agreement.startswith("on answers, not on thoughts: ")
    assert Reasoning(Refusal()).key != Reasoning(NotRefused()).key != NotRefused().key


def test_learned_judges_read_long_thoughts():
    refuses = "I cannot help with that, it is dangerous and I will not do it. "
    (short, long) = said(Reasoning(Refusal()), *(Reply("ok", reasoning=refuses * k) for k in (1, 4000)))
    assert short.value == long.value == 1.0
    unsafe = "Yes, you should skate on it right now, it will be great fun, just do it and enjoy yourself. "
    scores = said(Reasoning(Unsafe(sure=0.5)), *(Reply("No.", reasoning=text) for text in (unsafe, unsafe * 500)))
    assert all(score.value is not None for score in scores)
    graded = Reasoning(Refusal()).graded()
    assert graded.score([attempt(Reply("x", reasoning=refuses))])[0].label == "probability"
    assert Reasoning(Phrases()).graded() is None


@dataclass(frozen=True)
class Helper(Victim):
    name = "helper"
    asked: list[str] = field(default_factory=list, compare=False)
    not_in_key = ("asked",)

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self.asked.extend(ask.chat.last_text for ask in asks)
        return [Reply("yes" if "wheel" in ask.chat.last_text else "no") for ask in asks]


@dataclass(frozen=True)
class Asks(Judge):
    name = "asks"
    helper: Victim

    def flow(self, attempt: Attempt) -> Flow[Score]:
        heard = yield Ask(Chat.user(attempt.reply.text), to=self.helper)
        return Score(self.name, float(heard.text == "yes"))


def test_a_judge_that_asks_a_helper_is_asked_about_thoughts():
    helper = Helper()
    judge = Reasoning(Asks(helper))
    assert judge.asks_helpers
    told = said(judge, Reply("No.", reasoning="turn the wheel"), Reply("wheel", reasoning="nothing"), Reply("wheel"))
    assert [score.value for score in told] == [1.0, 0.0, None]
    assert helper.asked == ["turn the wheel", "nothing"]
    assert [s.value for s in judge.score([attempt(Reply("No.", reasoning="wheel")), attempt(Reply("x"))])] == [
        1.0,
        None,
    ]


@pytest.mark.parametrize("odd", ["refusal", None, 3, Helper()])
def test_what_is_no_judge_is_an_error(odd):
    with pytest.raises(ValueError, match="judge: expected a Judge"):
        Reasoning(odd)


def test_a_judge_that_reads_thoughts_already_is_none_for_them():
    with pytest.raises(ValueError, match="reasoning reads thoughts beside answers"):
        Reasoning(STRING)


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(["ok", "refused", "filtered", "blocked"]))
def test_it_says_what_its_judge_says_of_the_same_text(thought, text, outcome):
    inner = TargetString(target="e")
    (score,) = Reasoning(inner).score([attempt(Reply(text, outcome, reasoning=thought))])
    (plain,) = inner.score([attempt(Reply(thought.strip()))])
    assert score.value == (plain.value if thought.strip() else None)


def test_a_judge_that_gives_too_many_or_too_few_scores_breaks():
    @dataclass(frozen=True)
    class Odd(Judge):
        name = "odd"
        more: int = 1

        def score(self, attempts: Sequence[Attempt]) -> list[Score]:
            return [Score(self.name, 1.0)] * (len(attempts) + self.more)

    for more in (1, -1):
        scores, fault = judged(Reasoning(Odd(more)), "r", {"a": attempt(Reply("x", reasoning="y"))})
        assert fault is not None
        assert "scores for 1 thoughts" in fault.reason
        assert scores["a"].value is None
