"""An attack as another package would write it: a helper model words the question anew, turn by turn."""

from __future__ import annotations

from dataclasses import dataclass

from proofglass.flow import Flow
from proofglass.interfaces import Attack, Victim
from proofglass.types import Artefact, Ask, Chat, Reply, Sample


@dataclass(frozen=True)
class Rewriting(Attack):
    """Puts the wording of `helper` before the question, and has that worded anew, `rounds` times.

    helper: the model that words the question. rounds: wordings that are tried.
    """

    name = "rewriting"
    threat, changes = "user", ("text",)

    helper: Victim
    rounds: int = 2

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        chat = sample.chat
        for _ in range(self.rounds):
            wording = yield ask.on(Chat.user(chat.last_text), to=self.helper)
            if not wording.is_said:
                return chat, Reply.error(f"the helper gave no wording: {wording.reason or wording.outcome}")
            chat = chat.with_text(f"{wording.text} {sample.chat.last_text}".strip())
            reply = yield ask.on(chat)
        return chat, reply
