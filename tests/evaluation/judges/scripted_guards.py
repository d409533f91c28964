"""A guard that says what the test wrote, and the attempts that it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from proofglass.interfaces import Victim
from proofglass.testing.material import picture
from proofglass.types import Ask, Attempt, Chat, Cost, Reply, Sample


@dataclass(frozen=True)
class Says(Victim):
    """replies: one after another, the last one for good. seen: every ask."""

    replies: tuple[Reply, ...] = ()
    seen: list[Ask] = field(default_factory=list, compare=False)

    name = "says"
    key = "says"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        found = []
        for ask in asks:
            found.append(self.replies[min(len(self.seen), len(self.replies) - 1)])
            self.seen.append(ask)
        return found


def says(*texts: str | Reply, **more: Any) -> Says:
    return Says(tuple(t if isinstance(t, Reply) else Reply(t, cost=Cost(queries=1), **more) for t in texts))


def chances(**choices: float) -> Reply:
    return Reply("x", choices=choices)


def attempt(reply: str | Reply = "first , rinse the kite .", chat: Chat | None = None, pictures: int = 1) -> Attempt:
    chat = chat or Chat.user(*(picture(k) for k in range(pictures)), "how do i mend a kite ?")
    sample = Sample("s", "bench", Chat.user("the question before the attack"))
    return Attempt(sample, chat, reply if isinstance(reply, Reply) else Reply(reply))
