"""Showing replies to a judge, which is foreign code: what it breaks on costs itself, and is told with its reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proofglass.console import REASON, cut
from proofglass.errors import ProofglassError
from proofglass.faults import stops_the_run, told
from proofglass.flow import AnswerOf
from proofglass.interfaces import HelperSilent, Judge
from proofglass.records.schema import utf8
from proofglass.types import Attempt, Reply, Score


@dataclass(frozen=True)
class JudgeFault:
    """A judge that broke: on how many of the replies that it was shown, and the first reason."""

    replies: int
    of: int
    reason: str


def judge(
    judge: Judge,
    label: str,
    attempts: Mapping[str, Attempt],
    answer_of: AnswerOf | None = None,
    at_a_time: int | None = None,
) -> tuple[dict[str, Score], JudgeFault | None]:
    """Sample id -> score, and what broke. Only what the model said is shown to a judge: no error, no refusal of a
    defense, no thought unless it reads them. One that does is shown the thought of an answer that somebody withheld,
    too: it was delivered. A judge that breaks on all together is shown each alone: what it breaks
    on then costs itself only.

    answer_of: gives the answers of the helpers that a judge asks (through a journal, so that judging anew asks nothing
    twice), None: the helpers' own. at_a_time: dialogues with helpers that are advanced together, None for all: a round
    of them is one batch, and what a journal loses if it is killed.
    """
    shown = {name: _shown(judge, a) for name, a in attempts.items() if _is_shown(judge, a.reply)}
    scores = {name: Score.unjudged(label, _why_hidden(a.reply)) for name, a in attempts.items() if name not in shown}
    broken: list[str] = []
    seen = list(shown.values())
    given = (
        _by_flow(judge, label, seen, broken, answer_of, at_a_time)
        if judge.asks_helpers
        else _by_score(judge, label, seen, broken)
    )
    scores |= dict(zip(shown, given, strict=True))
    fault = JudgeFault(len(broken), len(shown), cut(broken[0], REASON)) if broken else None
    return {name: scores[name] for name in attempts}, fault


def _is_shown(judge: Judge, reply: Reply) -> bool:
    return reply.is_said or (judge.reads_reasoning and reply.outcome != "error" and bool(reply.reasoning))


def _shown(judge: Judge, attempt: Attempt) -> Attempt:
    reply = attempt.reply
    if not judge.reads_reasoning and reply.reasoning:
        return dataclasses.replace(attempt, reply=dataclasses.replace(reply, reasoning=""))
    if reply.is_withheld and reply.text:  # the words of a defense, which the model did not say
        return dataclasses.replace(attempt, reply=dataclasses.replace(reply, text=""))
    return attempt


def _why_hidden(reply: Reply) -> str:
    if reply.outcome == "ok":
        return "cut off in its reasoning: no answer to judge"
    return f"outcome {reply.outcome}: nothing to judge"


def _by_flow(
    judge: Judge,
    label: str,
    attempts: Sequence[Attempt],
    broken: list[str],
    answer_of: AnswerOf | None,
    at_a_time: int | None,
) -> list[Score]:
    """Of a judge that asks helpers: each dialogue fails alone. A helper that gave no answer is no fault of the judge;
    an ask that was not sent is one to come back to."""
    scores = []
    size = at_a_time or max(len(attempts), 1)
    parts = (attempts[start : start + size] for start in range(0, len(attempts), size))
    for end in (end for part in parts for end in judge.driven(part, answer_of)):
        if isinstance(end.value, Score):
            scores.append(_labelled(end.value, label))
        elif isinstance(end.error, HelperSilent):
            scores.append(Score.unjudged(label, utf8(str(end.error))))
        else:
            reason = end.unsent or f"its dialogue returned a {type(end.value).__name__}, expected a Score"
            if end.error is not None:
                _check_judges(end.error)
                reason = told(end.error, "judge", judge)
            scores.append(_broke(label, reason, broken))
    return scores


def _by_score(judge: Judge, label: str, attempts: Sequence[Attempt], broken: list[str]) -> list[Score]:
    """Of a judge that asks nobody."""
    try:
        return _given(judge, label, attempts) if attempts else []
    except BaseException as error:
        _check_judges(error)
        return [_alone(judge, label, each, broken) for each in attempts]


def _check_judges(error: BaseException) -> None:
    """Raises `error` again if it is no fault of the judge's code."""
    if stops_the_run(error) or isinstance(error, ProofglassError):
        raise error


def _alone(judge: Judge, label: str, attempt: Attempt, broken: list[str]) -> Score:
    try:
        return _given(judge, label, [attempt])[0]
    except BaseException as error:
        _check_judges(error)
        return _broke(label, told(error, "judge", judge), broken)


def _broke(label: str, reason: str, broken: list[str]) -> Score:
    broken.append(utf8(f"judge {label}: {reason}"))
    return Score.unjudged(label, broken[-1])


def _given(judge: Judge, label: str, attempts: Sequence[Attempt]) -> list[Score]:
    """Its scores, under its label. Raises what it raises, and for scores that are none."""
    given = judge.score(attempts)
    if len(given) != len(attempts):
        raise ValueError(f"{len(given)} scores for {len(attempts)} attempts")
    if odd := next((type(s).__name__ for s in given if not isinstance(s, Score)), ""):
        raise TypeError(f"a {odd} among the scores, expected a Score for each attempt")
    return [_labelled(score, label) for score in given]


def _labelled(score: Score, label: str) -> Score:
    """Under the judge's label. It may quote a model, which may write half a character."""
    return dataclasses.replace(score, judge=label, label=utf8(score.label), reason=utf8(score.reason))
