"""Which text a judge of single texts reads: the reply, or the question."""

from __future__ import annotations

from typing import Literal

from proofglass.types import Attempt

Source = Literal["reply", "question"]


def text_of(attempt: Attempt, source: Source) -> tuple[str, str]:
    """(text, ""), or ("", why there is none). The question is the sample's, as it was before any attack: its user
    turns, one a line. Of an error neither is read."""
    reply = attempt.reply
    if reply.outcome == "error":
        return "", "the reply is an error"
    if source == "question":
        text = "\n".join(m.text for m in attempt.sample.chat.messages if m.role == "user")
        return (text, "") if text.strip() else ("", "the question has no text")
    if not reply.is_said or not reply.text.strip():
        return "", f"the reply is {'empty' if reply.outcome == 'ok' else reply.outcome}"
    return reply.text, ""
