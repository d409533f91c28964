"""Replies of every kind, by the question that they answer."""

from __future__ import annotations

from proofglass.errors import TooLong
from proofglass.types import Cost, Decision, Reply

OUTCOMES = {
    "cut": Reply("half a", finish="length", cost=Cost(queries=1, tokens_in=5, tokens_out=2)),
    "stopped": Reply("I cannot.", "blocked", reason="too near", decisions=(Decision("wall", True, 0.5, 0.1, "near"),)),
    "withheld": Reply("", "filtered", reason="policy"),
    "filtered": Reply("sure, first", "filtered", reason="policy", cost=Cost(queries=1, tokens_in=5, tokens_out=3)),
    "broken": Reply.error("out of coffee\n\x1b[31m"),
    "odd": Reply('</script> "quoted" \u2028 \u202e \ud800 \x1b[31m'),
    "long": Reply("word " * 1000),
    "empty": Reply(""),
    "declined": Reply("", "refused", reason="I'm sorry."),
    "declined late": Reply("sure, first", "refused", reason="cyber"),
    "thoughtful": Reply("yes", reasoning="let me think"),
    "helped": Reply("yes", cost=Cost(queries=1, tokens_in=5), helpers={"g": Cost(queries=2, tokens_in=3)}),
    "long ask": Reply.unaskable(TooLong(600, 64, 512)),
    "odd ask": Reply.unaskable(ValueError("chat: takes one picture, found 2")),
}
