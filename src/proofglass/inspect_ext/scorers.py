"""Every judge as a scorer of Inspect, `proofglass/<judge>`; our interval as a metric.

A blocked reply, or one that a filter withheld whole, scores 0; an unjudged one, and one that never came, is
`Score.unscored`, which Inspect's metrics leave out: the counting rule, in Inspect's words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from anyio import to_thread
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, accuracy, metric, scorer, stderr
from inspect_ai.solver import TaskState

from proofglass import judging
from proofglass.evaluation.metrics.success import rate
from proofglass.inspect_ext.dialogue import answers_in_task
from proofglass.inspect_ext.messages import chat_of, reply_of, score_of
from proofglass.inspect_ext.plugs import Given, named, plug
from proofglass.inspect_ext.samples import sample_of
from proofglass.interfaces import Judge
from proofglass.registry import entries
from proofglass.types import Attempt, Settings


@metric
def interval() -> Metric:
    """The 95 % interval of the report: Wilson's, on fewer rows where samples share a question."""

    def compute(scores: list[SampleScore]) -> Mapping[str, float | None]:
        rows = [
            {
                "outcome": "ok",
                "finish": "stop",
                "value": each.score.as_float(),
                "cluster": (each.sample_metadata or {}).get("cluster") or each.sample_id,
            }
            for each in scores
        ]
        counted = rate(rows, "interval")
        return {} if counted.value is None else {"lower": counted.low, "upper": counted.high}

    return compute


def _scorer(name: str, make: Callable[..., Judge]) -> Callable[..., Scorer]:
    """make: the judge of the scorer's parameters."""

    @scorer(metrics=[accuracy(), stderr(), interval()], name=name)
    def judged(**parameters: Any) -> Scorer:
        judge = make(**parameters)

        async def score(state: TaskState, target: Target) -> Score:
            return await to_thread.run_sync(_score, judge, name, state)

        return score

    return judged


def _score(judge: Judge, name: str, state: TaskState) -> Score:
    """An error of the sample never comes here, but to score a log again; nor is one an answer that a limit cut off."""
    reply = reply_of(state.output)
    if reply.outcome == "error":
        return Score.unscored(reason="no_response", explanation=reply.reason)
    asked = state.messages[:-1] if state.messages and state.messages[-1].role == "assistant" else state.messages
    sample = sample_of(state)
    attempt = Attempt(sample, chat_of(asked), reply)
    scores, _ = judging.judge(judge, name, {sample.id: attempt}, partial(answers_in_task, Settings()))
    of_refusals = judge.says == "refused"
    return score_of(scores[sample.id], reply, of_thoughts=judge.reads_reasoning, of_refusals=of_refusals)


def _built(name: str, **parameters: Any) -> Judge:
    judge: Judge = plug("judges", {name: parameters})
    return judge


SCORERS = {name: _scorer(name, partial(_built, name)) for name in entries("judges")}


def judged(judge: Given) -> Scorer:
    """The scorer of a judge: `not-refused`, or `{target-string: {...}}`. Raises UsageError for an unknown one."""
    name, parameters = named("judges", judge)
    make = SCORERS.get(name) or _scorer(name, partial(_built, name))  # a plug that came later than this module
    return make(**parameters)
