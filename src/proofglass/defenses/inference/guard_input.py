"""A guard before the victim: what it finds unsafe never reaches the model (Inan et al. 2023 for its use as a wall).

Any judge can be the wall: a guard model that judges prompts or pictures, a classifier of texts, a list of phrases. Or a
detector, which looks at the pictures alone and whose gradient an attacker can follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from proofglass.defenses.judged import OF_PROMPTS, OF_REPLIES, Gate, finite, noted, refused, written
from proofglass.defenses.opened import Lens, Opened
from proofglass.defenses.wording import user_texts
from proofglass.engine.pictures import floats
from proofglass.flow import Flow
from proofglass.interfaces import Defense, Detector, Judge, Paper, Share, Text, WhiteBoxVictim
from proofglass.types import Ask, Chat, Decision, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

REFUSAL = "I can not help with this request."


@dataclass(frozen=True)
class GuardInput(Defense):
    """Blocks an ask that a judge or a detector finds unsafe; one that passes reaches the victim as it is.

    A judge that judges prompts or pictures is shown the dialogue; one that reads a text is shown what the user wrote,
    a turn a line. What it cannot judge is an error of the sample, never safe; a picture or text that is not there
    passes. A block takes no query of the victim.

    judge: the wall, such as a guard with `mode: prompt`; None where a detector is. detector: of pictures, in its place;
    the largest score of all pictures counts. threshold: blocked above it: on the judge's probability (None: its verdict
    decides), or on the detector's score (None: the detector's own). refusal: what the user is shown instead.
    """

    name = "guard-input"
    version = 2  # what its gate adds to an attacker's loss is bounded
    paper = Paper("Inan et al. 2023", "Llama Guard: LLM-based Input-Output Safeguard", "arXiv:2312.06674")
    adaptive: ClassVar[str] = "PGD, qi2023 through the lens (detector); defense-instruction, square (judge)"
    needs_model: ClassVar[str] = ""

    judge: Judge | None = None
    detector: Detector | None = None
    threshold: Share | None = None
    refusal: Text = REFUSAL

    def __post_init__(self) -> None:
        if (self.judge is None) == (self.detector is None):
            raise ValueError(f"judge: expected either a judge or a detector, found {'both' if self.judge else 'none'}")
        if self.judge is not None:
            Gate(self.judge, self.threshold)
            if self.judge.aspect in OF_REPLIES:
                raise ValueError(
                    f"judge: {self.judge.name} judges replies; expected one of prompts, pictures or texts, such as a "
                    "guard with mode: prompt, or take guard-output"
                )

    def flow(self, ask: Ask) -> Flow[Reply]:
        if self.judge is None:
            decision = self._detected(ask.chat)
        elif absent := self._absent(self.judge, ask.chat):
            decision = Decision(self.name, False, reason=absent)
        else:
            attempt = written(user_texts(ask.chat), ask.chat)
            decision = yield from Gate(self.judge, self.threshold).decided(self.name, attempt)
        if decision.fired:
            return refused(self.refusal, decision)
        reply: Reply = yield ask
        return noted(reply, decision)

    def most_asks(self, of_judge: Callable[[Judge], int]) -> tuple[int, int]:
        return 1, 0 if self.judge is None else Gate(self.judge, self.threshold).most_asks(of_judge)

    def _absent(self, judge: Judge, chat: Chat) -> str:
        """Why there is nothing that `judge` looks at, "" where there is."""
        if judge.aspect == "unsafe image":
            return "" if chat.images else "no picture"
        return "" if judge.aspect in OF_PROMPTS or user_texts(chat).strip() else "no text"

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim | None:
        return None if self.detector is None else Opened(model, self, Lens(margin=self.margin))

    def margin(self, pixels: torch.Tensor, chats: Sequence[Chat]) -> torch.Tensor:
        """How far the detector's largest score of each picture [B, 3, H, W] lies above the threshold."""
        assert self.detector is not None
        return self.detector.scores(pixels).amax(1) - self._limit

    @property
    def _limit(self) -> float:
        assert self.detector is not None
        return self.detector.threshold if self.threshold is None else self.threshold

    def _detected(self, chat: Chat) -> Decision:
        if not chat.images:
            return Decision(self.name, False, reason="no picture")
        import torch

        assert self.detector is not None
        with torch.no_grad():
            margins = [float(self.margin(floats(image), [chat])[0]) for image in chat.images]
        margin = max(finite(each, self.detector.name) for each in margins)
        return Decision(self.name, margin > 0, margin, self._limit, self.detector.name)
