"""What a victim says to a picture, and what a judge makes of it: the look that several attacks take while crafting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.engine.schedule import replies_cost
from proofglass.interfaces import Judge, Victim
from proofglass.types import Ask, Attempt, Cost, Image, Sample, Score, Settings


@dataclass(frozen=True)
class Said:
    """Shows 8-bit pictures to `victim` and has `judge` look at the replies."""

    victim: Victim
    judge: Judge

    def __call__(
        self, samples: Sequence[Sample], pictures: Sequence[Image], settings: Settings | Sequence[Settings]
    ) -> list[tuple[Score, Cost]]:
        """Of each sample's own chat under its picture: the verdict, and what asking cost. settings: one for all, or one
        for each."""
        each = [settings] * len(samples) if isinstance(settings, Settings) else settings
        asks = [Ask(s.chat.with_image(p), how) for s, p, how in zip(samples, pictures, each, strict=True)]
        replies = self.victim.reply(asks)
        attempts = [Attempt(s, ask.chat, reply) for s, ask, reply in zip(samples, asks, replies, strict=True)]
        return [(found, replies_cost([r])) for found, r in zip(self.judge.score(attempts), replies, strict=True)]
