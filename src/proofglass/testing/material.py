"""What the checks show to a plug: samples, asks and attempts of the testbed's kind, a picture, a scripted victim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from proofglass.errors import ImageError
from proofglass.interfaces import Victim, key_of
from proofglass.types import Ask, Attempt, Chat, Cost, Image, Reply, Sample, Settings


@dataclass(frozen=True)
class Scripted(Victim):
    """Answers every ask by its own words, cut at the token limit; reads every picture."""

    name = "scripted"
    prefix: str = "you said"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [self.one(ask) for ask in asks]

    def one(self, ask: Ask) -> Reply:
        try:
            for image in ask.chat.images:
                image.array()
        except Exception as error:
            return Reply.error(str(error))
        words = f"{self.prefix} {ask.chat.last_text}".split()
        limit = ask.settings.max_new_tokens
        cost = Cost(queries=1, tokens_out=min(len(words), limit))
        return Reply(" ".join(words[:limit]), finish="length" if len(words) > limit else "stop", cost=cost)

    def card(self) -> dict[str, Any]:
        return {"name": self.name}


@dataclass(frozen=True)
class Counting(Victim):
    """`victim`, with its asks counted."""

    victim: Victim
    asked: list[int] = field(default_factory=lambda: [0])
    name = "counting"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self.asked[0] += len(asks)
        return self.victim.reply(asks)

    @property
    def key(self) -> str:
        return key_of(["counting", self.victim.key])


def always_failing(asks: Sequence[Ask]) -> list[Reply]:
    """The answers of a victim that is out of reach."""
    return [Reply.error("the line is down") for _ in asks]


def unreadable() -> Image:
    """A picture whose file has gone."""

    def gone() -> np.ndarray:
        raise ImageError("gone.png: cannot be read")

    return Image("0" * 64, 8, 8, gone)


def picture(seed: int, side: int = 28) -> Image:
    """Noise, `side` x `side` pixels."""
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def samples(with_image: bool) -> list[Sample]:
    """Requests of the testbed's kind, with everything that some attack reads."""
    found = []
    for k, noun in enumerate(("kite", "drum", "broom")):
        request = f"mend a silver {noun}"
        text = f"how do i {request} ?"
        found.append(
            Sample(
                id=f"s{k}",
                dataset="bench",
                chat=Chat.user(picture(k), text) if with_image else Chat.user(text),
                split="craft",
                target="sure , here",
                references=("yes",),
                meta={"instruction": f"steps to {request}", "request": ["mend", "silver", noun]},
            )
        )
    return found


def attempts() -> list[Attempt]:
    """The same questions with an answer, a refusal and an empty reply."""
    replies = (Reply("sure , here is how . first , rinse it ."), Reply("sorry , i can not help ."), Reply(""))
    return [Attempt(s, s.chat, r) for s, r in zip(samples(False), replies, strict=True)]


def asks(text: str = "how do i mend a kite ?", count: int = 3) -> list[Ask]:
    """Different questions of different length."""
    return [Ask(Chat.user("please , " * k + text), Settings(max_new_tokens=6)) for k in range(count)]
