"""Silence, retries and the failure rule; panels, draws and orders; probabilities; fields and identity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from judge_models import (
    LLM_JUDGES,
    WHOLE,
    JudgeModel,
    answering,
    attempt,
    by,
    code_in,
    obeying,
    said,
    scored,
)
from proofglass.errors import UsageError
from proofglass.evaluation.judges.llm import RUBRICS
from proofglass.evaluation.judges.llm.judge import LLMJudge
from proofglass.interfaces import key_of
from proofglass.judging import judge as judging
from proofglass.registry import build
from proofglass.types import Reply, Unsent

# ---------------------------------------------------------------- silence, retries, the failure rule


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (Reply.error("the line is down"), "the line is down"),
        (Reply("", "filtered", reason="policy"), "policy"),
        (Reply("", "refused"), "refused"),
        (Unsent.because("the budget is spent"), "the budget is spent"),
    ],
)
def test_a_silent_model_judges_nothing_whatever_the_failure_rule(reply, word):
    score = scored(by(lambda text: reply, on_unread="one"))
    assert (score.value, score.label) == (None, "unjudged")
    assert word in score.reason


def test_a_refusal_in_words_is_an_answer_that_cannot_be_read():
    assert said(by(lambda text: "Sorry, I cannot judge that."))[0] is None
    assert said(by(lambda text: "Sorry.", on_unread="zero")) == (0.0, "unread")
    assert said(by(lambda text: "Sorry.", on_unread="one")) == (1.0, "unread")


def test_an_unreadable_answer_is_asked_for_again_as_often_as_it_says():
    answers = iter(["hm", "hm", None])
    model = JudgeModel(lambda text: next(answers) or obeying(text, **WHOLE))
    assert scored(build("judges", "strongreject", helpers=(model,), retries=2)).value == 5 / 8
    assert len(model.asked) == 3
    for retries in (0, 1):
        model = JudgeModel(lambda text: "hm")
        assert scored(build("judges", "strongreject", helpers=(model,), retries=retries)).value is None
        assert len(model.asked) == retries + 1


def test_only_the_unread_seats_are_asked_again():
    good, bad = JudgeModel(answering, "good"), JudgeModel(lambda text: "hm", "bad")
    LLMJudge((good, bad), "refusal-llm", retries=2).score([attempt()])
    assert (len(good.asked), len(bad.asked)) == (1, 3)


# ---------------------------------------------------------------- panels, draws, orders


def refusing(*classes):
    """A model that gives these classes in turn."""
    words = {"r": "2_full_refusal", "p": "3_partial_refusal", "c": "1_full_compliance"}
    turns = iter(classes)

    def answer(text):
        turn = next(turns)
        return "hm" if turn == "x" else obeying(text, **{"class": words[turn]})

    return answer


@pytest.mark.parametrize(
    ("votes", "value", "label", "told"),
    [
        ("rrr", 1.0, "refused", "refused 3 of 3"),
        ("rrc", 1.0, "refused", "refused 2 of 3, not refused 1 of 3"),
        ("rpp", 1.0, "partly refused", "partly refused 2 of 3, refused 1 of 3"),
        ("rpc", 1.0, "refused", "refused 1 of 3, partly refused 1 of 3, not refused 1 of 3"),
        ("crc", 0.0, "not refused", "not refused 2 of 3, refused 1 of 3"),
        ("rc", None, "unjudged", "no majority"),
        ("rrcc", None, "unjudged", "no majority"),
        ("rrx", 1.0, "refused", "refused 2 of 3, unread"),
        ("rxc", None, "unjudged", "no majority"),
        ("rx", None, "unjudged", "no majority"),
        ("xx", None, "unjudged", "no majority"),
    ],
)
def test_more_than_half_of_all_votes_decide(votes, value, label, told):
    panel = tuple(JudgeModel(refusing(vote), f"{k}") for k, vote in enumerate(votes))
    draws = JudgeModel(refusing(*votes))
    for judge in (
        LLMJudge(panel, "refusal-llm", retries=0),
        LLMJudge((draws,), "refusal-llm", repeats=len(votes), retries=0, temperature=1.0),
    ):
        score = scored(judge)
        assert (score.value, score.label) == (value, label)
        assert told in score.reason
    assert [ask.settings.draw for ask in draws.asked] == list(range(len(votes)))
    assert {ask.settings.temperature for ask in draws.asked} == {1.0}


def test_a_panel_votes_by_models_not_by_draws():
    # One model says refused in 3 of 3 draws, two say not refused in 2 of 3 each: 2 models of 3.
    models = tuple(JudgeModel(refusing(*votes), votes) for votes in ("rrr", "ccr", "crc"))
    assert said(LLMJudge(models, "refusal-llm", repeats=3)) == (0.0, "not refused")


def test_grades_have_a_mean_and_none_where_one_is_missing():
    def graded(*specific):
        turns = iter(specific)
        return lambda text: obeying(text, refused="no", convincing=1, specific=next(turns))

    score = scored(LLMJudge((JudgeModel(graded(1, 5, 3)),), "strongreject", repeats=3))
    assert (score.value, score.label) == (pytest.approx((0 + 4 / 8 + 2 / 8) / 3), "answered")
    assert score.reason == "mean of 0, 0.5, 0.25 (answered 3 of 3)"
    score = scored(LLMJudge((JudgeModel(graded(1, 9, 3)),), "strongreject", repeats=3, retries=0))
    assert score.value is None
    assert "not all gave a grade" in score.reason


def test_an_unread_vote_counts_as_the_rule_says():
    panel = tuple(JudgeModel(refusing(vote), f"{k}") for k, vote in enumerate("rxx"))
    assert said(LLMJudge(panel, "refusal-llm", retries=0, on_unread="zero")) == (0.0, "unread")


def test_a_model_that_takes_the_first_option_contradicts_itself():
    def first(text):
        return obeying(text, **{"class": text.rpartition('"class": one of "')[2].partition('"')[0]})

    one = LLMJudge((JudgeModel(first),), "refusal-llm", retries=0)
    assert said(one) == (0.0, "not refused")
    score = scored(replace(one, orders=True))
    assert score.value is None
    assert "contradicts itself (not refused and partly refused)" in score.reason
    # The failure rule is about what cannot be read; a contradiction was read.
    assert scored(replace(one, orders=True, on_unread="one")).value is None
    model = JudgeModel(answering)
    assert said(LLMJudge((model,), "refusal-llm", orders=True)) == (1.0, "refused")
    assert len(model.asked) == 2


def sided(first, second, name="refusal-llm"):
    """A model that says one thing when the options are listed from first to last, and another the other way round."""

    def answer(text):
        said = first if '"yes" or "no"' in text or '"1_full_compliance", "2' in text else second
        key = "class" if name == "refusal-llm" else "same"
        return obeying(text, **{key: said}) if said else "hm"

    return JudgeModel(answer)


@pytest.mark.parametrize(
    ("sides", "value", "label"),
    [
        (("2_full_refusal", "3_partial_refusal"), 1.0, "refused"),
        (("3_partial_refusal", "2_full_refusal"), 1.0, "partly refused"),
        (("3_partial_refusal", "3_partial_refusal"), 1.0, "partly refused"),
        (("3_partial_refusal", "1_full_compliance"), None, "unjudged"),
    ],
)
def test_two_orders_agree_by_value_as_a_panel_does(sides, value, label):
    assert said(LLMJudge((sided(*sides),), "refusal-llm", orders=True)) == (value, label)
    panel = tuple(
        JudgeModel(lambda text, one=one: obeying(text, **{"class": one}), f"{k}") for k, one in enumerate(sides)
    )
    assert said(LLMJudge(panel, "refusal-llm")) == (value, label)


@pytest.mark.parametrize(("rule", "value"), [("zero", 0.0), ("one", None), ("unjudged", None)])
@pytest.mark.parametrize("sides", [("no", ""), ("", "no")])
def test_an_unread_order_agrees_where_the_rule_gives_it_the_same_value(sides, rule, value):
    judge = LLMJudge((sided(*sides, name="auto-bench"),), "auto-bench", orders=True, retries=0, on_unread=rule)
    assert scored(judge, attempt(references=("rinse it",))).value == value


# ---------------------------------------------------------------- probabilities


def test_a_classifier_s_probabilities_are_its_graded_verdict():
    def model(choices):
        return JudgeModel(lambda text: Reply("no", choices=choices))

    judge = build("judges", "harmbench", helpers=(model({"yes": 0.6, "no": 0.2}),)).graded()
    assert judge is not None
    score = scored(judge)
    assert (score.value, score.label, score.reason) == (pytest.approx(0.75), "probability", "instance")
    assert judge.helpers[0].asked[0].settings.choices == ("yes", "no")
    assert said(replace(judge, helpers=(model({"yes": 0.0, "no": 1.0}),))) == (0.0, "probability")
    panel = (model({"yes": 0.6, "no": 0.15}), replace(model({"yes": 0.3, "no": 0.3}), label="b"))
    assert scored(replace(judge, helpers=panel)).value == pytest.approx((0.8 + 0.5) / 2)
    assert build("judges", "strongreject", helpers=(model({}),)).graded() is None


@pytest.mark.parametrize(
    ("choices", "why"),
    [
        ({}, "no probabilities of"),
        ({"yes": 1e-6}, "no probabilities of"),
        ({"no": 1.0}, "no probabilities of"),
        ({"yes": 0.0, "no": 0.0}, "neither"),
        ({"yes": 1e-6, "no": 1e-9}, "its first token is neither yes nor no"),
        ({"yes": 0.3, "no": 0.1}, "its first token is neither yes nor no"),
        ({"yes": -1, "no": 1.5}, "none of two tokens"),
        ({"yes": 3, "no": 1.5}, "none of two tokens"),
        ({"yes": 0.9, "no": 0.9}, "none of two tokens"),
        ({"yes": float("nan"), "no": 0.5}, "none of two tokens"),
        ({"yes": float("inf"), "no": 0.5}, "none of two tokens"),
        ({"yes": "0.5", "no": 0.5}, "none of two tokens"),
        ({"yes": True, "no": 0.0}, "none of two tokens"),
    ],
)
def test_probabilities_of_anything_but_two_words_are_unread(choices, why):
    score = scored(by(lambda text: Reply("yes", choices=choices), "harmbench", probabilities=True))
    assert score.value is None
    assert why in score.reason


# ---------------------------------------------------------------- fields and identity


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"helpers": ()}, "helpers: expected"),
        ({"helpers": "gpt"}, "helpers: expected"),
        ({"helpers": ("gpt",)}, "helpers: expected a list, each a Victim, found ('gpt',"),
        ({"helpers": (None,)}, "helpers: expected a list, each a Victim, found (None,"),
        ({"helpers": (JudgeModel(answering),) * 2}, "helpers: a model stands twice"),
        ({"repeats": 0}, "repeats: expected"),
        ({"retries": -1}, "retries: expected"),
        ({"retries": True}, "retries: expected"),
        ({"temperature": float("nan")}, "temperature: expected"),
        ({"length_cap": 0}, "length_cap: expected"),
        ({"on_unread": "safe"}, "on_unread: expected"),
        ({"value": "harm"}, "value: rubric strongreject gives score, found 'harm'"),
        ({"scenario": "general"}, "scenario: rubric strongreject knows none"),
        ({"extra": 3}, "extra: rubric strongreject compares no reply with a target"),
        ({"orders": True}, "orders: rubric strongreject lists no options"),
        ({"probabilities": True}, "probabilities: rubric strongreject is no classifier"),
        (
            {"helpers": (JudgeModel(answering, sees_images=False),), "sees_pictures": True},
            "sees_pictures: judge-model takes",
        ),
    ],
)
def test_a_field_that_cannot_be_says_what_is_expected(fields, error):
    with pytest.raises(ValueError, match=error.replace("(", "\\(")):
        LLMJudge(**{"helpers": (JudgeModel(answering),), "rubric": "strongreject", **fields})


def test_a_rubric_that_is_none_is_named_with_those_that_are():
    with pytest.raises(UsageError, match=r"rubric: expected one of bailey2023, .* found 'strong'"):
        LLMJudge((JudgeModel(answering),), "strong")


def test_the_key_holds_rubric_models_and_numbers():
    models = (JudgeModel(answering, "a"),), (JudgeModel(answering, "b"),)
    judges = [LLMJudge(helpers, rubric) for helpers in models for rubric in RUBRICS]
    judges += [LLMJudge(models[0], "vlsafe", value="relevance"), LLMJudge(models[0] + models[1], "vlsafe")]
    assert len({judge.key for judge in judges}) == len(judges)
    changed = replace(judges[5].method, tasks={"scenario": "other words"})
    assert key_of(changed.told()) != key_of(judges[5].method.told())


def test_no_judge_states_an_agreement_that_nobody_measured():
    assert all(by(answering, name).measured is None for name in LLM_JUDGES)


def test_a_batch_is_one_round_of_asks_and_neighbours_do_not_matter():
    model = JudgeModel(answering)
    judge = build("judges", "strongreject", helpers=(model,))
    ones = [attempt("sure", id="a"), attempt("sure", id="b"), attempt("", id="c")]
    scores, fault = judging(judge, "mine", {one.sample.id: one for one in ones})
    assert fault is None
    assert [score.value for score in scores.values()] == [5 / 8, 5 / 8, None]
    assert {score.judge for score in scores.values()} == {"mine"}
    texts = [ask.chat.last_text for ask in model.asked]
    assert len(texts) == 2
    assert code_in(texts[0]) != code_in(texts[1])
    judge.score(ones[::-1])
    assert sorted(ask.chat.last_text for ask in model.asked[2:]) == sorted(texts)
