"""Attacks that talk: two turns, a helper model, a question while crafting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proofglass.flow import Flow
from proofglass.interfaces import Attack, Victim
from proofglass.models.inspect_role import InspectRole
from proofglass.types import Artefact, Ask, Budget, Chat, Reply, Sample

HELPER = InspectRole("helper")


@dataclass(frozen=True)
class TwoTurns(Attack):
    """Asks for two opinions at once, then puts its question after the first of them."""

    name = "two-turns"

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        first, _ = yield [ask.on(Chat.user(f"{word} {sample.chat.last_text}")) for word in ("first", "second")]
        chat = Chat.user(f"first {sample.chat.last_text}").say(first.text).ask("and now?")
        reply = yield ask.on(chat)
        return chat, reply


@dataclass(frozen=True)
class AsksHelper(Attack):
    """Lets a helper word the question."""

    name = "asks-helper"
    helper: Victim = HELPER

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        worded = yield ask.on(sample.chat, to=self.helper)
        chat = Chat.user(f"helped: {worded.text}")
        reply = yield ask.on(chat)
        return chat, reply


@dataclass(frozen=True)
class AsksWhileCrafting(Attack):
    name = "asks-while-crafting"

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        (reply,) = victim.reply([Ask(Chat.user("which word?"))])
        yield Artefact(texts=(reply.text,), crafted_on=victim.key)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_text(f"{artefact.texts[0]} {sample.chat.last_text}")
