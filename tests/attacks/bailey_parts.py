"""What the tests of Bailey 2023 share: samples of harmless requests, a scripted white box, and one short search."""

from __future__ import annotations

import dataclasses

import numpy as np

from proofglass.registry import build as plug
from proofglass.types import Chat, Cost, Image, Reply, Sample
from proofglass.victims.llava import Llava
from tiny_models import SIDE

QUICK = {"steps": 4, "validation": 2, "validate_every": 2}


@dataclasses.dataclass(frozen=True)
class Scripted(Llava):
    """The same white box with scripted replies: say(round, ask) of each batch of asks. Notes what it was asked."""

    say: object = None
    asked: list = dataclasses.field(default_factory=list)

    def reply(self, asks):
        self.asked.append(list(asks))
        said = [self.say(len(self.asked) - 1, ask) for ask in asks]
        # As a model counts them: a query, and its forward pass beside it.
        return [one if isinstance(one, Reply) else Reply(one, cost=Cost(forward=1, queries=1)) for one in said]

    @property
    def key(self):
        return "scripted"


def picture(seed, side=SIDE):
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def samples(n=8):
    return [
        Sample(f"s{k}", "toy", Chat.user(picture(k), f"mend a kite {k}"), split="craft", target=f"sure , {k}")
        for k in range(n)
    ]


def made(victim, todo=None, seed=3, **fields):
    attack = plug("attacks", "bailey2023", **{**QUICK, **fields})
    (artefact,) = attack.craft(victim, todo or samples(), seed=seed)
    return attack, artefact
