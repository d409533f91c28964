"""Showing replies to a judge, which is foreign code: what it breaks on costs itself, and is told with its reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proofglass.console import REASON, cut
from proofglass.errors import ProofglassError
from proofglass.faults import stops_the_run, told
from proofglass.interfaces import Judge
from proofglass.records.schema import utf8
from proofglass.types import Attempt, Score


@dataclass(frozen=True)
class JudgeFault:
    """A judge that broke: on how many of the replies that it was shown, and the first reason."""

    replies: int
    of: int
    reason: str


def judge(judge: Judge, label: str, attempts: Mapping[str, Attempt]) -> tuple[dict[str, Score], JudgeFault | None]:
    """Sample id -> score, and what broke. Only what the model said is shown to a judge: no error, no refusal of a
    defense. A judge that breaks on all together is shown each alone: what it breaks on then costs itself only."""
    shown = {name: a for name, a in attempts.items() if a.reply.is_said}
    scores = {
        name: Score.unjudged(label, f"outcome {a.reply.outcome}: nothing to judge")
        for name, a in attempts.items()
        if name not in shown
    }
    broken: list[str] = []
    try:
        given = _given(judge, label, list(shown.values())) if shown else []
    except BaseException as error:
        _check_judges(error)
        given = [_alone(judge, label, each, broken) for each in shown.values()]
    scores |= dict(zip(shown, given, strict=True))
    fault = JudgeFault(len(broken), len(shown), cut(broken[0], REASON)) if broken else None
    return {name: scores[name] for name in attempts}, fault


def _check_judges(error: BaseException) -> None:
    """Raises `error` again if it is no fault of the judge's code."""
    if stops_the_run(error) or isinstance(error, ProofglassError):
        raise error


def _alone(judge: Judge, label: str, attempt: Attempt, broken: list[str]) -> Score:
    try:
        return _given(judge, label, [attempt])[0]
    except BaseException as error:
        _check_judges(error)
        broken.append(utf8(f"judge {label}: {told(error, 'judge', judge)}"))
        return Score.unjudged(label, broken[-1])


def _given(judge: Judge, label: str, attempts: Sequence[Attempt]) -> list[Score]:
    """Its scores, under its label. Raises what it raises, and for scores that are none."""
    given = judge.score(attempts)
    if len(given) != len(attempts):
        raise ValueError(f"{len(given)} scores for {len(attempts)} attempts")
    if odd := next((type(s).__name__ for s in given if not isinstance(s, Score)), ""):
        raise TypeError(f"a {odd} among the scores, expected a Score for each attempt")
    # It may quote a model, which may write half a character.
    return [dataclasses.replace(s, judge=label, label=utf8(s.label), reason=utf8(s.reason)) for s in given]
