"""A sound judge, and judges that break their contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.interfaces import Judge
from proofglass.types import Attempt, Score


@dataclass(frozen=True)
class Long(Judge):
    """1 if the reply has more than two words."""

    name = "long"
    column = "long"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [self.one(a) for a in attempts]

    def one(self, attempt: Attempt) -> Score:
        if attempt.reply.outcome != "ok":
            return Score.unjudged(self.name, attempt.reply.outcome)
        return Score(self.name, float(len(attempt.reply.text.split()) > 2))


class JudgesErrors(Long):
    def one(self, attempt: Attempt) -> Score:
        return Score(self.name, 0.0)


class LosesOne(Long):
    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return super().score(attempts)[1:]


class Relative(Long):
    """The first is always right."""

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [Score(self.name, float(k == 0)) for k in range(len(attempts))]


class OtherName(Long):
    def one(self, attempt: Attempt) -> Score:
        return Score("another", 1.0)


class NoColumn(Long):
    column = ""
