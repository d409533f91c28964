"""How many asks a dialogue takes, of the victim and of helpers, before anything is asked: for the plan of a study.

What a defense makes of an ask often hangs on what it hears. One that states `most_asks` is taken at its word; any other
is run against models that say nothing. A stack takes what its members take, multiplied: never too few.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from proofglass.flow import Answer, Flow, begun, drive
from proofglass.interfaces import Attack, Defense, Judge, Stack
from proofglass.types import Artefact, Ask, Attempt, Chat, Helper, Image, Reply, Sample

if TYPE_CHECKING:
    import numpy as np

_WORD = "word"
ENDLESS = 64  # a method that asks on and on is expected to ask so often


@dataclass(frozen=True)
class Asks:
    """Asks of one dialogue. victim: of the model under test; helpers: of all helpers together."""

    victim: int
    helpers: int = 0


def asks_of(attack: Attack, defense: Defense, samples: Iterable[Sample] = ()) -> Asks:
    """What one sample is expected to take: each ask of the attack goes through the defense, which may make several of
    it. samples: on whose first one an attack with a dialogue of its own is tried; none: on an empty one.

    Counted by running the dialogues against models that never say anything, so a dialogue that goes on until it hears
    something is counted up to `ENDLESS`, and what breaks without the picture that is still to be crafted is one ask.
    """
    attacking, defending = of_attack(attack, samples), of_defense(defense)
    return Asks(attacking.victim * defending.victim, attacking.helpers + attacking.victim * defending.helpers)


def of_attack(attack: Attack, samples: Iterable[Sample] = ()) -> Asks:
    """The asks of its own dialogue, before any defense: what it says itself, or as many as are counted."""
    if type(attack).converse is Attack.converse:
        return Asks(1)
    sample = next(iter(samples), Sample("", "", Chat.user("")))
    counted = _counted(partial(attack.converse, _blank(), sample, Ask(sample.chat)))
    return Asks(attack.queries or counted.victim, counted.helpers)


def of_defense(defense: Defense) -> Asks:
    """What it makes of one ask about a picture, at most, as far as it states that (`most_asks`); else where the victim
    answers by a word and helpers say nothing. Several pictures or texts may take more."""
    if isinstance(defense, Stack):
        found = Asks(1)
        for outer in map(of_defense, reversed(defense.members)):
            found = Asks(outer.victim * found.victim, outer.helpers + outer.victim * found.helpers)
        return found
    defense = defense.stands_for
    stated = defense.most_asks(lambda judge: of_judge(judge, [Sample("", "", planned_ask().chat)]))
    return Asks(*stated) if stated else _counted(partial(defense.flow, planned_ask()), said=_WORD)


def planned_ask() -> Ask:
    """What a plan puts to a defense."""
    return Ask(Chat.user(*_blank().images, _WORD))


def of_judge(judge: Judge, samples: Iterable[Sample] = ()) -> int:
    """How often a judge asks its helpers about one reply, at most: against models that say nothing that it can read,
    so that it asks again as often as it ever does. 0 for a judge that asks nobody."""
    if not judge.asks_helpers:
        return 0
    sample = next(iter(samples), Sample("", "", Chat.user("")))
    attempt = Attempt(sample, sample.chat, Reply("word " * 1000))  # long enough for any rule about short replies
    return _counted(partial(judge.flow, attempt), 100 * ENDLESS).helpers


class _Endless(Exception):
    pass


def _counted(dialogue: Callable[[], Flow[Any]], most: int = ENDLESS, said: str = "") -> Asks:
    """said: what the victim says each time; helpers say nothing."""
    asked = {"victim": 0, "helpers": 0}

    def silent(who: str, says: str = "") -> Answer:
        def answer(asks: Sequence[Ask]) -> list[Reply]:
            asked[who] += len(asks)
            if asked[who] > most:
                raise _Endless
            return [Reply(says)] * len(asks)

        return answer

    def silent_helper(helper: Helper) -> Answer:
        return silent("helpers")

    with suppress(_Endless):
        drive([begun(dialogue)], silent("victim", said), silent_helper)
    return Asks(min(max(asked["victim"], 1), most), min(asked["helpers"], most))


def _blank() -> Artefact:
    """What stands for an artefact that is not crafted yet. Its picture is black once somebody looks at it: listing
    attacks loads no numpy."""
    return Artefact(images=(Image(hashlib.sha256(b"8x8:" + bytes(192)).hexdigest(), 8, 8, _black),), texts=("",))


def _black() -> np.ndarray:
    import numpy as np

    return np.zeros((8, 8, 3), np.uint8)
