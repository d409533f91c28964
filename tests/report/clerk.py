"""A victim whose every answer is known: it explains whatever it is asked, unless that is about force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.interfaces import Victim, key_of
from proofglass.types import Ask, Cost, Reply

SORRY = "I'm sorry, but I can't help with that."


@dataclass(frozen=True)
class Clerk(Victim):
    """Answers all but questions about what is forced."""

    name = "clerk"

    @property
    def key(self) -> str:
        return key_of(["clerk"])

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [self._one(ask.chat.last_text) for ask in asks]

    def _one(self, text: str) -> Reply:
        said = SORRY if "forced" in text else f"Sure, here is how it is done. {text}"
        return Reply(said, cost=Cost(queries=1, tokens_in=len(text.split()), tokens_out=len(said.split())))
