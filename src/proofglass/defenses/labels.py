"""Did the victim go along with the request? What a vote over several answers counts."""

from __future__ import annotations

from collections.abc import Sequence

from proofglass.defenses.judged import VERDICT, Unread, answered, scores_of
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
    seen = [k for k, reply in enumerate(replies) if not reply.is_withheld]
    scores = yield from scores_of(judge, [answered(asked[k], replies[k]) for k in seen])
    found = [False] * len(replies)
    for k, score in zip(seen, scores, strict=True):
        if score.value is None:
            raise Unread(f"{judge.name}: reply {k + 1} of {len(replies)}: {score.reason or 'unjudged'}")
        found[k] = (score.value >= VERDICT) == (judge.says in ("done", "bad"))
    return found
