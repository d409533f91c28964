"""Does the thought say what the answer withholds? Another judge, shown what a model thought as if it were its reply.

A model that thinks aloud may plan in its thought what it then refuses, and whoever reads the thought has it (SafeMLRM,
Fang et al. 2025, arXiv:2504.08813). The metric `reasoning-leak` holds this judge's verdicts against those on the
answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.evaluation.judges.learned.text import without_tags
from proofglass.flow import Flow
from proofglass.interfaces import Judge, Measured, passed_on
from proofglass.types import Attempt, Reply, Score

SILENT = "the model showed no thought"


@dataclass(frozen=True)
class Reasoning(Judge):
    """What `judge` says of the thought before the answer (`Reply.reasoning`), the answer left out.

    What a 1 means, aspect and worlds are those of `judge`.

    Unjudged: a reply without a thought (or whose provider keeps it to itself), an error, and what `judge` cannot judge.
    A thought that was cut off is judged as far as it goes, and so is one whose answer was refused, filtered or blocked:
    it was delivered. Tags around it are no part of it. The error of `judge` was measured on answers; nobody measured it
    on thoughts.

    judge: that of the thought; any judge of replies.
    """

    name = "reasoning"
    reads_reasoning = True
    aspect = passed_on("judge", "aspect")
    says = passed_on("judge", "says")
    valid_in = passed_on("judge", "valid_in")
    sees_pictures = passed_on("judge", "sees_pictures")
    hears_silence = passed_on("judge", "hears_silence")
    asks_helpers = passed_on("judge", "asks_helpers")

    judge: Judge

    def __post_init__(self) -> None:
        if self.judge.reads_reasoning:
            raise ValueError(
                f"judge: {self.judge.name} reads thoughts beside answers, and here the thought stands in the place of "
                "the answer; name a judge of answers"
            )

    @property
    def column(self) -> str:  # type: ignore[override]
        return f"its thought: {self.judge.column or self.judge.name}"

    @property
    def measured(self) -> Measured | None:  # type: ignore[override]
        """That of the judge on answers, without the counts by which a rate could be corrected."""
        found = self.judge.measured
        told = f"on answers, not on thoughts: {found.agreement}" if found else ""
        return dataclasses.replace(found, agreement=told, calibration=()) if found else None

    def graded(self) -> Judge | None:
        found = self.judge.graded()
        return None if found is None else Reasoning(found)

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        if self.asks_helpers:
            return super().score(attempts)
        thoughts = [_thought(each) for each in attempts]
        shown = [thought for thought in thoughts if thought is not None]
        said = self.judge.score(shown) if shown else []
        if len(said) != len(shown):
            raise ValueError(f"judge {self.judge.name}: {len(said)} scores for {len(shown)} thoughts")
        left = iter(said)
        return [self._silent() if thought is None else self._own(next(left)) for thought in thoughts]

    def flow(self, attempt: Attempt) -> Flow[Score]:
        thought = _thought(attempt)
        if thought is None:
            return self._silent()
        said = yield from self.judge.flow(thought)
        return self._own(said)

    def _own(self, said: Score) -> Score:
        return dataclasses.replace(said, judge=self.name)

    def _silent(self) -> Score:
        return Score.unjudged(self.name, SILENT)


def _thought(attempt: Attempt) -> Attempt | None:
    """The attempt with the thought in the place of the reply, None where there is none."""
    reply = attempt.reply
    text = _untagged(reply.reasoning)
    if reply.outcome == "error" or not text:
        return None
    return dataclasses.replace(attempt, reply=Reply(text, finish=reply.finish if not reply.text else "stop"))


def _untagged(thought: str) -> str:
    """Without the tags of a template that kept them: to a judge of answers they would say that no answer follows."""
    return without_tags(thought).strip()
