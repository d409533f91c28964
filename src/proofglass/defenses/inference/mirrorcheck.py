"""MirrorCheck (Fares et al. 2024): a picture whose caption paints quite another picture was tampered with.

Format-checked: no package ships a text-to-image model, so the method was tried on stand-ins, and the threshold wants to
be calibrated for the user's encoders. Source of the form: klea-ziu/MirrorCheck, whose demonstration has 0.55.
Departures: its random variant adds its noise to the features, as the paper's abstract says, since an encoder here does
not open its weights (the authors' code disturbs those); it draws from the ask, so that the same ask is decided alike.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval, MinLen

from proofglass.defenses.judged import heard, noted, refused
from proofglass.defenses.painted import painted
from proofglass.engine.pictures import floats
from proofglass.engine.seeds import stream
from proofglass.flow import Flow
from proofglass.interfaces import Defense, Encoder, Judge, NonNegative, Painter, Paper, Text
from proofglass.types import Ask, Chat, Decision, Image, Reply

if TYPE_CHECKING:
    import torch

OFF = -1.0  # no cosine is smaller


@dataclass(frozen=True)
class MirrorCheck(Defense):
    """Has the victim describe each picture, paints the description, and refuses if the two pictures are unlike.

    For each picture one call of the victim and one of a painter, and one more call for an ask that passes. A caption
    that is not said, or a painter without a picture, is an error of the sample. Decided by the least alike picture. It
    stays closed: a painter has no gradient here.

    painters: text-to-image models; the first, or a random one. encoders: whose features are compared; the mean cosine
    counts. threshold: of that cosine, below which it refuses; -1: the identity. stochastic: take a random painter, a
    random part of the encoders, and noisy features. noise: standard deviation of that noise, of features of length one.
    describe: the question that asks for the caption. refusal: what the user is shown of a blocked ask.
    """

    name = "mirrorcheck"
    paper = Paper(
        "Fares et al. 2024",
        "MirrorCheck: Efficient Adversarial Defense for Vision-Language Models",
        "arXiv:2406.09250",
    )
    adaptive: ClassVar[str] = "square, figstep"
    needs_model: ClassVar[str] = ""
    version: ClassVar[int] = 2

    painters: Annotated[tuple[Painter, ...], MinLen(1)]
    encoders: Annotated[tuple[Encoder, ...], MinLen(1)]
    threshold: Annotated[float, Interval(ge=-1, le=1)] = 0.55
    stochastic: bool = False
    noise: NonNegative = 5e-6
    describe: Text = "Describe this picture in one sentence."
    refusal: Text = "I can not help with this request."

    def flow(self, ask: Ask) -> Flow[Reply]:
        images = dict.fromkeys(ask.chat.images)
        if self.threshold == OFF or not images:
            reply: Reply = yield ask
            return reply
        cosines = []
        for image in images:
            found = yield from self._mirrored(ask, image)
            if isinstance(found, Reply):
                return found
            cosines.append(found)
        margin = self.threshold - min(cosines)
        decision = Decision(self.name, margin > 0, margin, self.threshold, f"least cosine {min(cosines):.4f}")
        if decision.fired:
            return refused(self.refusal, decision)
        answer: Reply = yield ask
        return noted(answer, decision)

    def most_asks(self, of_judge: Callable[[Judge], int]) -> tuple[int, int]:
        return (1, 0) if self.threshold == OFF else (2, 1)

    def _mirrored(self, ask: Ask, image: Image) -> Flow[float | Reply]:
        """How alike a picture and what its caption paints are; the reply of a victim that failed to describe it."""
        draw = random.Random(f"{self.key}|{ask.settings.draw}|{image.sha256}")
        painter, encoders = self.painters[0], self.encoders
        if self.stochastic:
            painter = draw.choice(self.painters)
            encoders = tuple(draw.sample(self.encoders, draw.randint(1, len(self.encoders))))
        said: Reply = yield ask.on(Chat.user(image, self.describe))
        if said.outcome == "error":
            return said
        caption = heard(said, None)
        mirror = yield from painted(ask, Chat.user(caption), painter)
        found = [self._cosine(encoder, image, mirror, draw.random()) for encoder in encoders]
        return sum(found) / len(found)

    def _cosine(self, encoder: Encoder, one: Image, other: Image, seed: float) -> float:
        import torch

        with torch.no_grad():
            first, second = (
                self._noisy(encoder.features(floats(image)).flatten(1), (seed, k))
                for k, image in enumerate((one, other))
            )
            found = float(torch.nn.functional.cosine_similarity(first, second))
        if found != found:
            raise ValueError(f"encoder {encoder.name}: its features are no numbers")
        return found

    def _noisy(self, features: torch.Tensor, seed: tuple[float, int]) -> torch.Tensor:
        import torch

        unit = torch.nn.functional.normalize(features.double().cpu(), dim=1)
        if not self.stochastic or not self.noise:
            return unit
        return unit + self.noise * torch.randn(unit.shape, generator=stream("noise", *seed), dtype=unit.dtype)
