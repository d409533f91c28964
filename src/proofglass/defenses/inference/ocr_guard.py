"""A guard that reads: the text in the pictures goes through a guard of texts before the victim sees them.

What it is held against is FigStep (Gong et al. 2023), whose authors name OCR detection as the first defense. Its reader
is RapidOCR, as in the victim `ocr-llm`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from proofglass.defenses.inference.guard_input import REFUSAL
from proofglass.defenses.judged import OF_REPLIES, Gate, noted, refused, written
from proofglass.flow import Flow
from proofglass.images import typography
from proofglass.images.ocr import Reads, rapidocr_reader, reader_version
from proofglass.interfaces import Defense, Judge, Paper, Share, Text, key_of
from proofglass.types import Ask, Chat, Decision, Image, Reply


@dataclass(frozen=True)
class OcrGuard(Defense):
    """Blocks an ask whose pictures hold text that a judge finds unsafe; any other reaches the victim as it is.

    The judge is shown the text alone, as a prompt of one turn and in place of a reply: a guard of prompts, a classifier
    of texts or a list of phrases can judge it. Pictures without text pass. What cannot be read or judged is an error of
    the sample, never safe. What stands in the user's own words is not looked at: `guard-input` does that.

    judge: the wall. threshold: blocked above it, on the judge's probability; None: its verdict decides. reader: "ocr",
    RapidOCR; or "truth", the text that a typographic attack drew, and none in any other picture: the control of a
    reader that makes no mistake. refusal: what the user is shown instead.
    """

    name = "ocr-guard"
    paper = Paper(
        "Gong et al. 2023",
        "FigStep: Jailbreaking Large Vision-language Models via Typographic Visual Prompts",
        "arXiv:2311.05608",
    )
    adaptive: ClassVar[str] = "square, best-of-n-image"
    needs_model: ClassVar[str] = ""

    judge: Judge
    threshold: Share | None = None
    reader: Literal["ocr", "truth"] = "ocr"
    refusal: Text = REFUSAL

    def __post_init__(self) -> None:
        Gate(self.judge, self.threshold)
        if self.judge.aspect in (*OF_REPLIES, "unsafe image"):
            raise ValueError(
                f"judge: {self.judge.name} judges {'replies' if self.judge.aspect in OF_REPLIES else 'pictures'}; "
                "expected one of prompts or texts, such as a guard with mode: prompt"
            )

    @property
    def key(self) -> str:
        """Holds the version of the reader: another reads other text. Raises MissingExtra without one."""
        return key_of([super().key, reader_version() if self.reader == "ocr" else "truth"])

    def flow(self, ask: Ask) -> Flow[Reply]:
        text = "\n".join(filter(None, map(self.text_of, ask.chat.images)))
        if not text.strip():
            decision = Decision(self.name, False, reason="no text" if ask.chat.images else "no picture")
        else:
            gate = Gate(self.judge, self.threshold)
            decision = yield from gate.decided(self.name, written(text, Chat.user(text)))
        if decision.fired:
            return refused(self.refusal, decision)
        reply: Reply = yield ask
        return noted(reply, decision)

    def most_asks(self, of_judge: Callable[[Judge], int]) -> tuple[int, int]:
        return 1, Gate(self.judge, self.threshold).most_asks(of_judge)

    def text_of(self, image: Image) -> str:
        """What is read in `image`; a picture that comes again is not read again."""
        if image.sha256 not in self._read_before:
            self._read_before[image.sha256] = self._reads(image)
        return self._read_before[image.sha256]

    @cached_property
    def _reads(self) -> Reads:
        return rapidocr_reader(self.name) if self.reader == "ocr" else lambda image: typography.text_of(image) or ""

    @cached_property
    def _read_before(self) -> dict[str, str]:
        return {}  # by sha256: a key that were the picture would keep its pixels for good
