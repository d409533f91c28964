"""Victims, judges and encoders that say what the test wrote, for defenses with helpers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch

from proofglass.flow import Driven, drive
from proofglass.interfaces import PROBABILITY, Defense, Detector, Encoder, Judge, Victim
from proofglass.types import Ask, Attempt, Cost, Reply, Score


@dataclass(frozen=True)
class Lines(Victim):
    """Says its lines in order, the last one for good; remembers what it was asked."""

    lines: tuple[str | Reply, ...] = ("fine",)
    label: str = "lines"
    asked: list[Ask] = field(default_factory=list, compare=False)

    name = "lines"
    not_in_key = ("asked", "lines")

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        found = []
        for ask in asks:
            line = self.lines[min(len(self.asked), len(self.lines) - 1)]
            self.asked.append(ask)
            found.append(line if isinstance(line, Reply) else Reply(line, cost=Cost(queries=1, tokens_out=2)))
        return found


def lines(*texts: str | Reply, label: str = "lines") -> Lines:
    return Lines(texts, label)


@dataclass(frozen=True)
class Holds(Judge):
    """How bad a text is: the probability that stands beside a word in it; unjudged where the text says "odd".

    seen: the attempts that it was shown.
    """

    words: Mapping[str, float] = field(default_factory=dict)
    says: Literal["bad", "good", "done", "refused"] = "bad"  # type: ignore[misc]
    aspect: str = ""  # type: ignore[misc]
    verdict: bool = False
    seen: list[Attempt] = field(default_factory=list, compare=False)

    name: ClassVar[str] = "holds"
    not_in_key = ("seen",)

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        self.seen.extend(attempts)
        return [self._one(attempt.reply.text) for attempt in attempts]

    def _one(self, text: str) -> Score:
        if "odd" in text:
            return Score.unjudged(self.name, "it is odd")
        value = max((grade for word, grade in self.words.items() if word in text), default=0.0)
        return Score(self.name, float(value >= 0.5) if self.verdict else value, PROBABILITY)

    def graded(self) -> Judge | None:
        return None if self.verdict else self


@dataclass(frozen=True)
class Flat(Encoder):
    """Features that the test wrote: of a picture by its first level, of a text by itself, up to `most` words."""

    pictures: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    texts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    most: int = 77

    name = "flat"

    def features(self, pixels: torch.Tensor, layer: str = "pooled") -> torch.Tensor:
        return torch.tensor([self.pictures[round(float(x[0, 0, 0]) * 255)] for x in pixels])

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        if any(len(text.split()) > self.most for text in texts):
            raise ValueError("texts: too long")
        return torch.tensor([self.texts.get(text, (0.0,) * self._width) for text in texts])

    @property
    def _width(self) -> int:
        return len(next(iter(self.texts.values())))


@dataclass(frozen=True)
class Bright(Detector):
    """The mean level of a picture is its score."""

    threshold: float = 0.5
    name = "bright"

    def scores(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean((1, 2, 3))[:, None].clamp(1e-6, 1 - 1e-6)


def led(defense: Defense, ask: Ask, victim: Victim) -> Driven[Reply]:
    """The end of one dialogue, its error not made a reply."""
    (end,) = drive([defense.flow(ask)], victim.reply)
    return end
