"""The plug Judge, and what is known of its errors."""

from __future__ import annotations

import dataclasses
from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from proofglass.flow import AnswerOf, Driven, Flow, begun, drive
from proofglass.interfaces.plugs import Plug
from proofglass.types import Ask, Attempt, Expected, Reply, Score

GUARDED: tuple[Expected, ...] = ("refuse", "protect")
"""Kinds of samples of which what is asked for must not be given."""
PROBABILITY = "probability"
"""The label of a score whose value is the probability of a 1 (or another grade), and no verdict."""


def is_bad(says: Literal["done", "refused", "bad", "good"] | str, expected: str) -> bool:
    """Whether a score of 1 is bad on samples of this kind. says: `Judge.says`."""
    return {"bad": True, "good": False, "refused": expected not in GUARDED}.get(says, expected in GUARDED)


@dataclass(frozen=True)
class Calibration:
    """What a judge said about replies that people labelled, counted for one model and one kind of reply.

    data: label set; model: who replied; model_kind: the kind of model to which these counts may be carried over (a
    world, "vision-language model" or "language model"); kind: the reply type as the judge predicts it (`Score.label`),
    not its verdict under another name, "" for all together. tp, fn: judged yes, no where people said yes; fp, tn: where
    they said no; unjudged_yes, unjudged_no: not judged, by what people said. clusters: different questions among these
    replies, 0 if all differ.
    """

    data: str
    model_kind: str
    model: str
    kind: str
    tp: int
    fn: int
    fp: int
    tn: int
    unjudged_yes: int = 0
    unjudged_no: int = 0
    clusters: int = 0

    @property
    def positives(self) -> int:
        return self.tp + self.fn + self.unjudged_yes

    @property
    def negatives(self) -> int:
        return self.fp + self.tn + self.unjudged_no

    def complement(self) -> Calibration:
        """That of the judge that says the opposite, held against the opposite labels."""
        return dataclasses.replace(
            self, tp=self.tn, fn=self.fp, fp=self.fn, tn=self.tp,
            unjudged_yes=self.unjudged_no, unjudged_no=self.unjudged_yes,
        )  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """How far a judge agrees with people. agreement: in words, with its figures; data: on which replies, with n;
    source: of the human labels, and the command that counts again; calibration: the same as counts, by which a rate
    can be corrected (`evaluation.correction.from_calibration`); trained_on: label sets from which the judge has
    learned, so that its verdicts there measure nothing."""

    agreement: str
    data: str
    source: str
    calibration: tuple[Calibration, ...] = ()
    trained_on: tuple[str, ...] = ()


class HelperSilent(Exception):
    """A helper that a judge asked gave no answer, so that nothing can be judged. Its text says which and why."""


class Judge(Plug, ABC):
    """Scores attempts. Writes `score`, or, where it asks helper models (a judge LLM), `flow`.

    `column`: what a score of 1 means, as a table heading. `aspect`: the same as one of the things that people label
    replies with ("refusal", "unsafe"; "not refusal": the complement), "" if it is none of them; `proofglass judges
    check` compares such a judge with labelled replies.

    `says`: what a 1 says of the reply, so that reports know a good rate from a bad one: "done" what was asked for,
    "refused" it; or "bad", "good" whatever was asked. A reply that was withheld whole counts as 1 by a judge that
    says "refused" and as 0 by every other (docs/counting-rule.md).

    `valid_in`: the worlds (`Victim.world`) in which its verdict may be called a success rate; None: any, since it
    decides by definition (the target string stands in the reply, or not). About a victim of another world the report
    shows what it found beside `measured`, its error on labelled replies, and calls it neither success nor safety.
    `reads_reasoning`: whether it is shown what a model thought before it answered (`Reply.reasoning`), also where the
    answer was withheld. Others see the text alone, and no reply that was cut off in thought. `sees_pictures`: whether
    the pictures of the dialogue can move its verdict, so that text inside a picture may steer it. `hears_silence`:
    whether its `flow` is shown the silence of a helper too, as one that asks several and can do without one.
    """

    column: ClassVar[str] = ""
    aspect: ClassVar[str] = ""
    says: ClassVar[Literal["done", "refused", "bad", "good"]] = "done"
    valid_in: ClassVar[tuple[str, ...] | None] = None
    reads_reasoning: ClassVar[bool] = False
    sees_pictures: ClassVar[bool] = False
    hears_silence: ClassVar[bool] = False
    measured: Measured | None = None

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        """One score per attempt, in order. `Score.unjudged` where nothing can be said. Default: what `flow` comes to,
        the helpers asked directly; raises what a flow raises."""
        return [self._score(end) for end in self.driven(attempts)]

    def graded(self) -> Judge | None:
        """This judge with the probability of a 1 as its value in place of a verdict: what curves are drawn from. None
        where it has no such number.

        It labels every such score `PROBABILITY`: a metric that needs a number takes 0 and 1 under another label for
        verdicts, and those under this one for a judge that is sure."""
        return None

    def flow(self, attempt: Attempt) -> Flow[Score]:
        """The dialogue with helpers that judges one attempt: `reply = yield Ask(chat, to=self.helper)`.

        It is never shown the silence of a helper (an error, a filter or a refusal by the provider, whatever was said
        before it), unless it `hears_silence`: there it ends, and the attempt is unjudged. What the helper says is the
        judge's to read; `Score.unjudged` where it says neither.
        """
        raise TypeError(f"judge {self.name}: writes neither score nor flow")

    @property
    def asks_helpers(self) -> bool:
        """Whether it judges by `flow`."""
        return type(self).flow is not Judge.flow

    def driven(self, attempts: Sequence[Attempt], answer_of: AnswerOf | None = None) -> list[Driven[Score]]:
        """The end of `flow` for each attempt. answer_of: see `flow.drive`. The error is `HelperSilent` where a helper
        gave no answer."""
        return drive([self._heard(each) for each in attempts], _nobody, answer_of)

    def heard(self, attempt: Attempt) -> Flow[Score]:
        """The score of one attempt, for a dialogue that judges on its way: `score = yield from judge.heard(attempt)`,
        whether it asks helpers or nobody. Raises HelperSilent where a helper gave no answer."""
        if self.asks_helpers:
            return (yield from self._heard(attempt))
        (score,) = self.score([attempt])
        return score

    def _heard(self, attempt: Attempt) -> Flow[Score]:
        """`flow`, kept from the silence of its helpers."""
        return _heard(begun(partial(self.flow, attempt)), self.hears_silence)

    def _score(self, end: Driven[Score]) -> Score:
        if isinstance(end.error, HelperSilent) or end.unsent:
            return Score.unjudged(self.name, str(end.error or end.unsent))
        if end.error is not None:
            raise end.error
        if not isinstance(end.value, Score):
            raise TypeError(f"its dialogue returned a {type(end.value).__name__}, expected a Score")
        return end.value


def _heard(flow: Flow[Score], hears_silence: bool) -> Flow[Score]:
    """`flow` as long as its helpers answer. Raises HelperSilent where one does not and the flow does not hear that
    itself, and TypeError for an ask to nobody: a judge has no victim."""
    heard: Reply | list[Reply] | None = None
    while True:
        try:
            asked = flow.send(heard)
        except StopIteration as end:
            value: Score = end.value
            return value
        asks = asked if isinstance(asked, list) else [asked]
        if any(ask.to is None for ask in asks):
            raise TypeError("a judge asks helpers only; write Ask(chat, to=self.helper)")
        heard = yield asked
        if hears_silence:
            continue
        for ask, reply in zip(asks, heard if isinstance(heard, list) else [heard], strict=True):
            if reply.outcome != "ok" or not reply.is_said:
                name = getattr(ask.to, "name", "") or type(ask.to).__name__
                raise HelperSilent(f"helper {name}: {reply.outcome}: {reply.reason or 'nothing said'}")


def _nobody(asks: Sequence[Ask]) -> list[Reply]:
    raise AssertionError("asks to nobody are stopped before they are sent")
