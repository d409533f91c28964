"""Did the victim go along with the request? What a vote over several answers counts."""

from __future__ import annotations

from collections.abc import Sequence

from proofglass.defenses.judged import VERDICT, Unread, answered, score_of
from proofglass.flow import Flow
from proofglass.interfaces import Judge
from proofglass.registry import build
from proofglass.types import Chat, Reply


def phrases() -> Judge:
    """SmoothLLM's test: 1 if no phrase of its list stands in the answer."""
    found: Judge = build("judges", "phrases", rules="smoothllm")
    return found


def goes_along(judge: Judge, asked: Sequence[Chat], replies: Sequence[Reply]) -> Flow[list[bool]]:
    """Whether each reply does what was asked (or is bad, as `judge` has it), part of another dialogue.

    A reply that was withheld whole goes along with nothing, and no judge is asked about it. Raises Unread, which names
    the reply, where the judge cannot say.
    """
    found = [False] * len(replies)
    for k, reply in enumerate(replies):
        if reply.is_withheld:
            continue
        score = yield from score_of(judge, answered(asked[k], reply))
        if score.value is None:
            raise Unread(f"{judge.name}: reply {k + 1} of {len(replies)}: {score.reason or 'unjudged'}")
        found[k] = (score.value >= VERDICT) == (judge.says in ("done", "bad"))
    return found
