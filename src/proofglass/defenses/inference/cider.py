"""CIDER (Xu et al. 2024): denoising an optimised picture takes it away from the question that it was made for.

Format-checked: no package ships a diffusion denoiser, so the method was tried on a stand-in. Source of the form:
PandragonXIII/CIDER: 350 steps of denoising, a picture kept every 50 (eight with the original); refused if the cosine of
the question with any of them falls by more than the threshold below that with the original, -0.00393677 in its code,
fitted to embeddings of LLaVA-1.5-7B: fit it to your encoder (`fitted`). Departures: the encoder is a parameter; the
text that is compared is that of the last user turn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Interval

from proofglass.defenses.judged import noted, refused
from proofglass.defenses.painted import painted
from proofglass.engine.pictures import floats
from proofglass.errors import UsageError
from proofglass.flow import Flow, drive
from proofglass.interfaces import Count, Defense, Encoder, Painter, Paper, Text
from proofglass.types import Ask, Chat, Decision, Image, Reply

OFF = -2.0  # no cosine falls by more


@dataclass(frozen=True)
class CIDER(Defense):
    """Refuses an ask with a picture that loses its likeness to the question when it is denoised.

    The denoiser is a painter that is asked with the picture and the number of steps as its text; `steps / every` calls
    of it a picture, none of the victim for an ask that is blocked. Dialogues without pictures, or without a text in the
    last user turn, pass. A denoiser without a picture is an error of the sample. It stays closed: nobody sees through
    the denoiser.

    denoiser: the helper. encoder: one with a text tower. threshold: the cosine's change, below which it refuses; -2:
    the identity. steps: of denoising, at most. every: so many steps a picture is looked at. refusal: what the user is
    shown of a blocked ask.
    """

    name = "cider"
    paper = Paper(
        "Xu et al. 2024",
        "Cross-modality Information Check for Detecting Jailbreaking in Multimodal Large Language Models",
        "arXiv:2407.21659",
    )
    adaptive: ClassVar[str] = "figstep, square"
    needs_model: ClassVar[str] = ""

    denoiser: Painter
    encoder: Encoder
    threshold: Annotated[float, Interval(ge=-2, le=2)] = -0.00393677
    steps: Count = 350
    every: Count = 50
    refusal: Text = "I can not help with this request."

    def __post_init__(self) -> None:
        if self.every > self.steps:
            raise ValueError(f"every: expected at most steps ({self.steps}), found {self.every}")

    def flow(self, ask: Ask) -> Flow[Reply]:
        if self.threshold == OFF or not self._compares(ask.chat):
            reply: Reply = yield ask
            return reply
        falls = []
        for image in dict.fromkeys(ask.chat.images):
            cosines = yield from self.cosines(ask, image)
            falls.append(least_change(cosines))
        decision = self.decided(min(falls))
        if decision.fired:
            return refused(self.refusal, decision)
        answer: Reply = yield ask
        return noted(answer, decision)

    def decided(self, change: float) -> Decision:
        """change: the least of a cosine, negative where it falls."""
        margin = self.threshold - change
        return Decision(self.name, margin > 0, margin, self.threshold, f"the cosine changes by {change:.6f}")

    def cosines(self, ask: Ask, image: Image) -> Flow[list[float]]:
        """Of the question with the picture, and with the picture after each stretch of denoising."""
        pictures = [image]
        for steps in range(self.every, self.steps + 1, self.every):
            pictures.append((yield from painted(ask, Chat.user(image, str(steps)), self.denoiser)))
        return self._cosines(ask.chat.last_text, pictures)

    def at_rate(self, asks: Sequence[Ask], rate: float = 0.95) -> CIDER:
        """This defense with the threshold below which a share 1 - `rate` of all changes of clean pictures lie.

        asks: with clean pictures, whose answers nobody measures. Raises UsageError where none has a picture and a text,
        or one fails."""
        pairs = [(ask, image) for ask in asks if self._compares(ask.chat) for image in ask.chat.images]
        ends = drive([self.cosines(ask, image) for ask, image in pairs], _nobody)
        failed = next((end.failure for end in ends if end.value is None), "")
        if failed or not ends:
            raise UsageError(f"{self.name}: {failed or 'no ask holds a picture and a text'}")
        threshold = threshold_of([end.value for end in ends if end.value is not None], rate)
        return dataclasses.replace(self, threshold=threshold)

    def _compares(self, chat: Chat) -> bool:
        return bool(chat.images) and bool(chat.last_text.strip())

    def _cosines(self, text: str, pictures: Sequence[Image]) -> list[float]:
        import torch

        with torch.no_grad():
            words = self.encoder.text_features([text]).double().cpu()
            seen = torch.cat([self.encoder.features(floats(image)).double().cpu() for image in pictures])
            found: list[float] = torch.nn.functional.cosine_similarity(seen, words).tolist()
        if any(value != value for value in found):
            raise ValueError(f"encoder {self.encoder.name}: its features are no numbers")
        return found


def least_change(cosines: Sequence[float]) -> float:
    """The smallest difference of a cosine to the first."""
    return min(cosine - cosines[0] for cosine in cosines[1:])


def threshold_of(rows: Sequence[Sequence[float]], rate: float = 0.95) -> float:
    """The (1 - `rate`) * 100th percentile of all changes of cosines, rows as `CIDER.cosines` gives them."""
    import numpy as np

    if not 0 <= rate <= 1:
        raise ValueError(f"rate: expected 0 to 1, found {rate}")
    changes = [cosine - row[0] for row in rows for cosine in row[1:]]
    return float(np.percentile(changes, (1 - rate) * 100))


def _nobody(asks: Sequence[Ask]) -> list[Reply]:
    raise AssertionError("only the denoiser is asked")
