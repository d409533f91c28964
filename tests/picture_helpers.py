"""Helpers that make or compare pictures, and rewrite texts: tiny stand-ins for what no package ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from proofglass.interfaces import Encoder, Layer, Painter, Victim
from proofglass.types import Ask, Cost, Image, Reply


@dataclass(frozen=True)
class Stand(Painter):
    """Makes of a picture one that is darker by `by` grey levels, of a text a grey one, `side` pixels square.

    Asked with a number it goes so far: half of it is half as dark.
    """

    by: int = 0
    side: int = 0
    fails_from: int = 10**9
    asked: list[Ask] = field(default_factory=list)
    name = "stand"
    not_in_key = ("asked",)

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [self.one(ask) for ask in asks]

    def one(self, ask: Ask) -> Reply:
        self.asked.append(ask)
        if len(self.asked) > self.fails_from:
            return Reply.error("the painter is out of paint")
        if not ask.chat.images:
            grey = np.full((self.side or 8, self.side or 8, 3), 128, np.uint8)
            return Reply(images=(Image.from_array(grey),), cost=Cost(queries=1))
        told = ask.chat.last_text
        share = float(told) / 100 if told.isdigit() else 1.0
        pixels = ask.chat.images[0].array().astype(float) - share * self.by
        if self.side:
            pixels = np.resize(pixels, (self.side, self.side, 3))
        return Reply(images=(Image.from_array(pixels.clip(0, 255).round().astype(np.uint8)),), cost=Cost(queries=1))


@dataclass(frozen=True)
class Mirror(Painter):
    """Paints the last picture that was put into its hands: the round trip of a caption that says all."""

    image: Image
    count: int = 1
    name = "mirror"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply(images=(self.image,) * self.count, cost=Cost(queries=1)) for _ in asks]


@dataclass(frozen=True)
class Means(Encoder):
    """A picture by the mean of each colour; a text by the numbers that stand in it, else the first axis."""

    name = "means"

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        return pixels.mean((2, 3))

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        found = []
        for text in texts:
            numbers = [float(word) for word in text.split() if word.replace(".", "").isdigit()]
            found.append(numbers if len(numbers) == 3 else [1.0, 0.0, 0.0])
        return torch.tensor(found)


@dataclass(frozen=True)
class Rewriter(Victim):
    """Writes the last line of what it is asked between fences."""

    fence: str = "@@"
    name = "rewriter"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        cost = Cost(queries=1)
        return [
            Reply(f"keep it {self.fence} {ask.chat.last_text.splitlines()[-1]} {self.fence}", cost=cost) for ask in asks
        ]


@dataclass(frozen=True)
class Words(Victim):
    """Goes on with so many words as it is let, or `most` at most; each is a token."""

    most: int = 10**6
    asked: list[Ask] = field(default_factory=list)
    name = "words"
    not_in_key = ("asked",)

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self.asked.extend(asks)
        found = []
        for ask in asks:
            count = min(self.most, ask.settings.max_new_tokens)
            words = " ".join(f"w{k}" for k in range(count))
            cut = count == ask.settings.max_new_tokens
            found.append(Reply(words, finish="length" if cut else "stop", cost=Cost(queries=1, tokens_out=count)))
        return found
