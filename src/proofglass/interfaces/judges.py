"""The plug Judge, and what is known of its errors."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from proofglass.interfaces.plugs import Plug
from proofglass.types import Attempt, Score


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


class Judge(Plug, ABC):
    """Scores attempts. `column`: what a score of 1 means, as a table heading. `aspect`: the same as one of the things
    that people label replies with ("refusal", "unsafe"; "not refusal": the complement), "" if it is none of them;
    `proofglass judges check` compares such a judge with labelled replies.

    `says`: what a 1 says of the reply, so that reports know a good rate from a bad one: "done" what was asked for,
    "refused" it; or "bad", "good" whatever was asked.

    `valid_in`: the worlds (`Victim.world`) in which its verdict may be called a success rate; None: any, since it
    decides by definition (the target string stands in the reply, or not). About a victim of another world the report
    shows what it found beside `measured`, its error on labelled replies, and calls it neither success nor safety.
    """

    column: ClassVar[str] = ""
    aspect: ClassVar[str] = ""
    says: ClassVar[Literal["done", "refused", "bad", "good"]] = "done"
    valid_in: ClassVar[tuple[str, ...] | None] = None
    measured: Measured | None = None

    @abstractmethod
    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        """One score per attempt, in order. `Score.unjudged` where nothing can be said."""
