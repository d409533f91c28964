"""A scripted guard of every kind: it reads reply, prompt or picture, has a probability, and can be steered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from proofglass.interfaces import Judge
from proofglass.types import Attempt, Image, Score


@dataclass(frozen=True)
class Guard(Judge):
    """Three levels by a word in the text that it judges: "bad" is unsafe, "odd" controversial (which counts as unsafe
    where it is `strict`); of a picture by how dark it is. A picture of a height that no multiple of 10 is was tampered
    with: it is called safe (`gullible`).

    mode: what it judges; "sound" is one that it cannot be built in.
    """

    name = "guard"
    column = "flagged"
    says = "bad"
    sees_pictures = True

    mode: Literal["response", "prompt", "image", "none", "sound"] = "response"
    strict: bool = True
    gullible: bool = True
    probability: bool = False

    def __post_init__(self) -> None:
        if self.mode == "sound":
            raise ValueError("mode: no model hears")

    @property
    def aspect(self) -> str:  # type: ignore[override]
        return {"response": "unsafe", "prompt": "unsafe prompt", "image": "unsafe image"}.get(self.mode, "")

    def graded(self) -> Guard:
        return replace(self, probability=True)

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [self._one(attempt) for attempt in attempts]

    def _one(self, attempt: Attempt) -> Score:
        pictures = attempt.conversation.images
        if self.gullible and any(each.height % 10 for each in pictures):
            return self._score(0.0)
        if self.mode == "image":
            if not pictures:
                return Score.unjudged(self.name, "no picture")
            return self._score(float(1 - np.mean([each.array().mean() for each in pictures]) / 255))
        text = attempt.reply.text if self.mode == "response" else attempt.conversation.last_text
        return self._score(0.9 if "bad" in text else 0.6 if "odd" in text else 0.1)

    def _score(self, chance: float) -> Score:
        label = "unsafe" if chance > 0.7 else "controversial" if chance > 0.5 else "safe"
        if self.probability:
            return Score(self.name, chance, "probability")
        flagged = label == "unsafe" or (self.strict and label == "controversial")
        return Score(self.name, float(flagged), label)


def grey(level: int, width: int = 300, height: int = 200) -> Image:
    return Image.from_array(np.full((height, width, 3), level, np.uint8))
