"""A reply as a chat completion, whole or in chunks. The text of a model is data: it is escaped as JSON, ASCII only."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from proofglass.serve.problems import Problem
from proofglass.types import Decision, Reply

_PIECE = 64  # characters of one chunk


@dataclass(frozen=True)
class Told:
    """A reply and what is told with it. seed: repeats a drawn reply, None for a greedy one.

    show_margins: also how near each defense was to intervening. Off by default: such a number is what an attacker
    climbs. show_reasoning: also what the model thought before it answered, as `reasoning_content`, never in the
    content. Off by default: defenses and judges look at the answer only.
    """

    id: str
    created: int
    model: str
    reply: Reply
    seed: int | None = None
    show_margins: bool = False
    show_reasoning: bool = False

    def completion(self) -> dict[str, Any]:
        """The whole answer in one object."""
        message = {"role": "assistant", "content": self.reply.text, "refusal": self.refusal, **self.reasoning}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage, "proofglass": self.extension}

    def events(self, include_usage: bool) -> Iterator[bytes]:
        """The same answer as server-sent events: role, pieces of text, how it ended, usage where asked for."""
        usage: dict[str, Any] = {"usage": None} if include_usage else {}
        yield self._event({"role": "assistant", "content": ""}, usage)
        told = {**self.reasoning, "content": self.reply.text, "refusal": self.refusal or ""}
        for name, text in told.items():
            for at in range(0, len(text), _PIECE):
                yield self._event({name: text[at : at + _PIECE]}, usage)
        yield self._event({}, {**usage, "proofglass": self.extension}, self.finish)
        if include_usage:
            yield _sent({**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage})
        yield b"data: [DONE]\n\n"

    @property
    def refusal(self) -> str | None:
        """Of a refusal by the victim's provider that delivered nothing: how it is worded. OpenAI's field for it, which
        clients read in place of the content."""
        is_empty = self.reply.outcome == "refused" and not self.reply.text
        return (self.reply.reason or "refused by the provider") if is_empty else None

    @property
    def reasoning(self) -> dict[str, str]:
        return {"reasoning_content": self.reply.reasoning} if self.show_reasoning and self.reply.reasoning else {}

    @property
    def finish(self) -> str:
        cut = self.reply.outcome == "filtered" or (self.reply.outcome == "refused" and bool(self.reply.text))
        return "content_filter" if cut else self.reply.finish

    @property
    def usage(self) -> dict[str, int]:
        """Tokens of every call that the reply took, those of its defenses and of their helpers included."""
        spent = sum(self.reply.helpers.values(), self.reply.cost)
        tokens_in, tokens_out = spent.tokens_in, spent.tokens_out
        return {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}

    @property
    def extension(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "outcome": self.reply.outcome,
            "decisions": [self._decision(each) for each in self.reply.decisions],
            "queries": self.reply.cost.queries,
            "helper_queries": sum(cost.queries for cost in self.reply.helpers.values()),
        }
        return told if self.seed is None else {**told, "seed": self.seed}

    def _decision(self, decision: Decision) -> dict[str, Any]:
        told: dict[str, Any] = {"defense": decision.defense, "fired": decision.fired}
        if self.show_margins:
            told |= {"margin": _finite(decision.margin), "threshold": _finite(decision.threshold)}
            told |= {"reason": decision.reason}
        return told

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _event(self, delta: dict[str, Any], more: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _sent({**self._head("chat.completion.chunk"), "choices": [choice], **more})


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None  # JSON has no infinity


def _sent(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, allow_nan=False)}\n\n".encode()


def checked(reply: Reply) -> Reply:
    """`reply` if it is one. An error is never an answer: it is the caller's problem where the ask cannot be put to this
    victim, which clients take for final, and else the victim's."""
    if reply.outcome != "error":
        return reply
    why = reply.reason[:1000]
    # What can be tried again, the victim has tried, and paid.
    headers = {"X-Should-Retry": "false", "X-Proofglass-Outcome": "error"}
    if reply.fault == "length":
        raise Problem(400, why, code="context_length_exceeded", param="messages", headers=headers)
    if reply.fault == "ask":
        raise Problem(400, why, code="invalid_value", param="messages", headers=headers)
    raise Problem(502, why, kind="victim_error", code="victim_error", headers=headers)
