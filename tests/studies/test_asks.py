"""Expected asks: each ask of an attack goes through the defense; those of helpers are counted apart."""

from __future__ import annotations

from dataclasses import dataclass

from proofglass.flow import Flow
from proofglass.interfaces import Attack, Defense
from proofglass.studies.asks import ENDLESS, Asks, asks_of, of_attack, of_defense
from proofglass.types import Artefact, Ask, Chat, Reply, Sample
from scripted_plugs import AskTwice, EchoVictim, NoDefense, Plain, Speck, Wall

ECHO = EchoVictim()


@dataclass(frozen=True)
class Talks(Attack):
    """Asks its helper `helped` times and the victim `turns` times."""

    name = "talks"
    turns: int = 3
    helped: int = 2
    helper: EchoVictim = ECHO

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        if self.helped:
            yield [ask.on(sample.chat, to=self.helper)] * self.helped
        for _ in range(self.turns):
            reply = yield ask.on(sample.chat)
        return sample.chat, reply


@dataclass(frozen=True)
class Guards(Defense):
    """Asks a guard before and after."""

    name = "guards"
    guard: EchoVictim = ECHO

    def flow(self, ask: Ask) -> Flow[Reply]:
        yield ask.on(ask.chat, to=self.guard)
        reply = yield ask
        yield ask.on(ask.chat, to=self.guard)
        return reply


class Insists(Plain):
    """Asks until it hears something."""

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        reply = Reply()
        while not reply.text:
            reply = yield ask
        return sample.chat, reply


class NeedsTwoPictures(Talks):
    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        return (yield from super().converse(artefact, sample.chat.with_image(artefact.images[1]), ask))


def test_asks_of_attack_and_defense_multiply() -> None:
    assert asks_of(Plain(), NoDefense()) == asks_of(Speck(), NoDefense()) == Asks(1)
    assert asks_of(Plain(), AskTwice()) == Asks(2)
    assert asks_of(Talks(), NoDefense()) == Asks(3, 2)
    assert asks_of(Talks(), AskTwice()) == Asks(6, 2)
    assert asks_of(Talks(), Guards()) == Asks(3, 2 + 3 * 2)
    assert asks_of(Plain(), Wall()) == Asks(1)


def test_what_never_ends_or_breaks_before_its_picture_is_crafted_is_still_counted() -> None:
    assert of_attack(Insists()) == Asks(ENDLESS)
    assert of_attack(NeedsTwoPictures()) == Asks(1)
    assert of_defense(Guards()) == Asks(1, 2)
