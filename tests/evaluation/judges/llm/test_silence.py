"""A model that is silent, wholly or in part: one less of a panel, and no verdict of its own."""

from __future__ import annotations

import pytest

from judge_models import JudgeModel, attempt, by, obedient, obeying, scored
from proofglass.evaluation.judges.llm.judge import LLMJudge
from proofglass.evaluation.judges.reasoning import Reasoning
from proofglass.flow import Flow
from proofglass.interfaces import Judge
from proofglass.judging import judge as judging
from proofglass.types import Ask, Attempt, Chat, Cost, Reply, Score, Unsent

YES, NO = obedient(same="yes"), obedient(same="no")
ANSWERED = attempt(references=("rinse it",))


def silent(text):
    return Reply.error("the line is down")


def filtered(text):
    return Reply(obeying(text, same="yes"), "filtered", reason="policy")


def panel(*answers, **fields):
    return LLMJudge(tuple(JudgeModel(each, f"{k}") for k, each in enumerate(answers)), "auto-bench", **fields)


@pytest.mark.parametrize("quiet", [silent, filtered, lambda text: Reply("", "refused")])
@pytest.mark.parametrize(("others", "value"), [((YES, YES), 1.0), ((NO, NO), 0.0), ((YES, NO), None), ((YES,), None)])
@pytest.mark.parametrize("rule", ["unjudged", "zero", "one"])
def test_a_silent_model_is_one_vote_less_and_the_failure_rule_does_not_touch_it(quiet, others, value, rule):
    score = scored(panel(*others, quiet, on_unread=rule), ANSWERED)
    assert score.value == value
    assert f"1 of {len(others) + 1}" in score.reason
    assert "silent: " in score.reason


def test_a_silent_draw_is_one_vote_less_too():
    turns = iter([YES, silent, YES])
    assert scored(by(lambda text: next(turns)(text), "auto-bench", repeats=3), ANSWERED).value == 1.0


def test_a_silent_model_is_not_asked_again():
    quiet = JudgeModel(silent)
    assert scored(LLMJudge((quiet,), "auto-bench", retries=3), ANSWERED).value is None
    assert len(quiet.asked) == 1
    turns = iter([lambda text: "hm", silent])
    one = scored(by(lambda text: next(turns)(text), "auto-bench", on_unread="zero"), ANSWERED)
    assert (one.value, one.reason) == (None, "the judge model: silent: error: the line is down")


def test_grades_have_none_where_a_model_is_silent():
    graded = obedient(refused="no", convincing=5, specific=5)
    models = JudgeModel(graded, "a"), JudgeModel(silent, "b")
    score = scored(LLMJudge(models, "strongreject", on_unread="one"))
    assert score.value is None
    assert "silent: error: the line is down 1 of 2" in score.reason


@pytest.mark.parametrize("outcome", ["filtered", "refused"])
def test_what_a_provider_cut_off_or_refused_is_no_verdict(outcome):
    score = scored(by(lambda text: Reply(obeying(text, same="yes"), outcome), "auto-bench", on_unread="one"), ANSWERED)
    assert score.value is None
    assert outcome in score.reason
    told = Reply("yes", outcome, choices={"yes": 0.9, "no": 0.1})
    assert scored(by(lambda text: told, "harmbench", probabilities=True)).value is None


def test_an_ask_that_was_not_sent_leaves_the_panel_to_come_back_to():
    judge = panel(YES, YES, lambda text: Unsent.because("the budget is spent"))
    assert judge.driven([ANSWERED])[0].unsent == "the budget is spent"


def test_a_judge_of_thoughts_hears_what_its_judge_hears():
    inner = panel(YES, YES, silent)
    judge = Reasoning(inner)
    thought = Attempt(ANSWERED.sample, ANSWERED.conversation, Reply("no", reasoning="rinse it"))
    assert scored(judge, thought).value == 1.0
    assert not Reasoning(Plain(JudgeModel(YES))).hears_silence


class Plain(Judge):
    """Reads whatever its helper says, as most judges do."""

    name = "plain"

    def __init__(self, helper):
        self.helper = helper

    def flow(self, attempt: Attempt) -> Flow[Score]:
        (reply,) = yield [Ask(Chat.user("well ?"), to=self.helper)]
        return Score(self.name, 1.0, reason=reply.text)


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (Reply("yes", cost=Cost(queries=1)), 1.0),
        (Reply("yes", finish="length"), 1.0),
        (Reply("yes", "filtered", reason="policy"), None),
        (Reply("yes", "refused"), None),
        (Reply("yes", "blocked"), None),
        (Reply(reasoning="let me see"), None),
        (Reply.error("down"), None),
    ],
)
def test_no_judge_is_shown_what_a_helper_s_provider_stopped(reply, value):
    judge = Plain(JudgeModel(lambda text: reply))
    assert scored(judge).value == value
    scores, fault = judging(judge, "plain", {"s0": attempt()})
    assert (scores["s0"].value, fault) == (value, None)
