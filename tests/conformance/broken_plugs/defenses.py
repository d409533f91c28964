"""A sound defense, and defenses that break their contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from conformance.broken_plugs.material import PAPER
from proofglass.errors import UsageError
from proofglass.flow import Flow
from proofglass.interfaces import Defended, Defense, Victim
from proofglass.types import Ask, Reply, Settings


@dataclass(frozen=True)
class Polite(Defense):
    """Says please, unless it is switched off."""

    name = "polite"
    paper = PAPER
    on: bool = True

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply = yield ask.on(ask.chat.with_system("please")) if self.on else ask
        return reply


class NeverOff(Polite):
    def flow(self, ask: Ask) -> Flow[Reply]:
        reply = yield ask.on(ask.chat.with_system("please"))
        return reply


class RewritesWhenOff(Polite):
    def flow(self, ask: Ask) -> Flow[Reply]:
        reply = yield ask
        return replace(reply, text=reply.text.upper())


class WritesToTheAsk(Polite):
    def flow(self, ask: Ask) -> Flow[Reply]:
        object.__setattr__(ask, "chat", ask.chat.with_system("please"))
        reply = yield ask
        return reply


class Chatty(Polite):
    def flow(self, ask: Ask) -> Flow[Reply]:
        reply = yield replace(ask, settings=Settings(max_new_tokens=999))
        return reply


class SafeOnError(Polite):
    def flow(self, ask: Ask) -> Flow[Reply]:
        reply = yield ask
        return Reply("no", outcome="blocked") if reply.outcome == "error" else reply


class ForgetsTheSecondError(Polite):
    def flow(self, ask: Ask) -> Flow[Reply]:
        first = yield ask
        yield ask
        return first


class SameKey(Polite):
    def __call__(self, victim: Victim) -> Victim:
        return victim


@dataclass(frozen=True)
class Inside(Polite):
    """Acts inside a model, or says that there is none to act in."""

    def __call__(self, victim: Victim) -> Victim:
        if not hasattr(victim, "layers"):
            raise UsageError(f"{self.name}: needs the layers of a model, {victim.name} gives replies only")
        return Defended(victim, self)


class TakesAnything(Inside):
    def __call__(self, victim: Victim) -> Victim:
        return Defended(victim, self)


@dataclass(frozen=True)
class Skips(Polite):
    """A wrapper of its own that loses the cost of a second ask."""

    def __call__(self, victim: Victim) -> Victim:
        class Cheap(Defended):
            def reply(self, asks: Sequence[Ask]) -> list[Reply]:
                self.victim.reply(asks)
                return self.victim.reply(asks)

        return Cheap(victim, self)
