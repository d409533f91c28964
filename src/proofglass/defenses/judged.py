"""A judge inside a defense: what it is shown, and how its score becomes a decision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from proofglass.errors import ProofglassError
from proofglass.flow import Flow
from proofglass.interfaces import HelperSilent, Judge
from proofglass.types import Attempt, Chat, Decision, Helper, Reply, Sample, Score

VERDICT = 0.5  # where a verdict of 0 or 1 is divided
OF_PROMPTS = ("unsafe prompt", "unsafe image")  # aspects of what judges a dialogue, no reply
OF_REPLIES = ("unsafe", "refusal", "not refusal")
NOTHING = Reply()


class Unread(ProofglassError):
    """A judge or another helper inside a defense gave no answer: an error of that sample, never "safe"."""


@dataclass(frozen=True)
class Gate:
    """A judge with a threshold: intervenes where how bad it finds something lies above it.

    threshold: on the probability of `Judge.graded()`; None: the verdict of the judge as it is.
    """

    judge: Judge
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.judge.says not in ("bad", "good"):
            raise ValueError(
                f"judge: expected one that finds something bad (or good), such as a guard, found {self.judge.name}, "
                f"whose 1 says {self.judge.says!r}"
            )
        if self.threshold is not None and self.judge.graded() is None:
            raise ValueError(f"threshold: {self.judge.name} has no probability; leave it out, and its verdict decides")

    def most_asks(self, of_judge: Callable[[Judge], int]) -> int:
        """Asks of helpers for one decision, at most, given those of a judge for one reply."""
        return of_judge(self._asked())

    def _asked(self) -> Judge:
        graded = None if self.threshold is None else self.judge.graded()
        return graded or self.judge

    def decided(self, defense: str, attempt: Attempt) -> Flow[Decision]:
        """Whether `defense` intervenes. Raises Unread where the judge cannot say."""
        score = yield from scored(self._asked(), attempt)
        assert score.value is not None
        bad = score.value if self.judge.says == "bad" else 1 - score.value
        limit = VERDICT if self.threshold is None else self.threshold
        reason = ", ".join(filter(None, (self.judge.name, score.label, score.reason)))
        return Decision(defense, bad > limit, bad - limit, limit, reason)


def finite(value: float, what: str) -> float:
    """`value`. Raises Unread where it is NaN or infinite: a gate would stand open."""
    if not math.isfinite(value):
        raise Unread(f"{what}: expected a finite number, found {value}")
    return value


def scored(judge: Judge | None, attempt: Attempt) -> Flow[Score]:
    """The score of `attempt`, as a part of another dialogue. Raises Unread where there is none."""
    assert judge is not None
    score = yield from score_of(judge, attempt)
    if score.value is None:
        raise Unread(f"{judge.name}: {score.reason}")
    return score


def score_of(judge: Judge, attempt: Attempt) -> Flow[Score]:
    """The same, with a score that says why nothing could be judged, where that is the judge's own word."""
    try:
        score = yield from judge.heard(attempt)
    except HelperSilent as error:
        raise Unread(f"{judge.name}: {error}") from error
    if not isinstance(score, Score):
        raise Unread(f"{judge.name}: its dialogue returned a {type(score).__name__}, expected a Score")
    return score


def heard(reply: Reply, helper: Helper | None, *, whole: bool = False) -> str:
    """What a helper (None: the victim in that part) said. whole: it must have come to its end.

    Raises Unread, which names it, where it said nothing, or half: what a filter let through is no answer."""
    name = "the victim" if helper is None else getattr(helper, "name", "") or type(helper).__name__
    if reply.outcome != "ok" or not reply.text.strip():
        raise Unread(f"helper {name}: {reply.outcome}: {reply.reason or 'nothing said'}")
    if whole and reply.finish == "length":
        raise Unread(f"helper {name}: it was cut off after {reply.cost.tokens_out or 'too many'} tokens")
    return reply.text


def written(text: str, chat: Chat) -> Attempt:
    """What somebody wrote, to be judged before there is any reply: it stands wherever a judge may look for it, in the
    dialogue, as the question, and in place of the reply (which a judge of prompts and pictures does not look at)."""
    return Attempt(Sample("", "", chat, meta={"question": text}), chat, Reply(text))


def answered(chat: Chat, reply: Reply) -> Attempt:
    """A reply, to be judged with the dialogue that a defense knows."""
    return Attempt(Sample("", "", chat), chat, reply)


def refused(text: str, decision: Decision, before: Reply = NOTHING) -> Reply:
    """What the user is shown in place of an answer; `before`: whatever was decided until then."""
    return Reply(text, "blocked", reason=decision.reason, decisions=(*before.decisions, decision))


def noted(reply: Reply, decision: Decision) -> Reply:
    """`reply`, delivered, with what was decided about it."""
    return replace(reply, decisions=(*reply.decisions, decision))
