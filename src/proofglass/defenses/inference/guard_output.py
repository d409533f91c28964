"""A guard behind the victim: what it finds unsafe never reaches the user (Inan et al. 2023 for its use as a wall)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from proofglass.defenses.inference.guard_input import REFUSAL
from proofglass.defenses.judged import OF_PROMPTS, Gate, answered, noted, refused
from proofglass.flow import Flow
from proofglass.interfaces import Defense, Judge, Paper, Share, Text
from proofglass.types import Ask, Reply


@dataclass(frozen=True)
class GuardOutput(Defense):
    """Blocks a reply that a judge finds unsafe; one that passes is delivered as it is.

    The judge is shown the dialogue as the defense got it, and the reply. What it cannot judge is an error of the
    sample, never safe. A reply without words, and one that is withheld already, is passed on unjudged.

    judge: the wall: a guard, a classifier of texts, a list of phrases. threshold: blocked above it, on the judge's
    probability; None: its verdict decides. refusal: what the user is shown instead.
    """

    name = "guard-output"
    paper = Paper("Inan et al. 2023", "Llama Guard: LLM-based Input-Output Safeguard", "arXiv:2312.06674")
    adaptive: ClassVar[str] = "defense-instruction, best-of-n-text, square"
    needs_model: ClassVar[str] = ""

    judge: Judge
    threshold: Share | None = None
    refusal: Text = REFUSAL

    def __post_init__(self) -> None:
        Gate(self.judge, self.threshold)
        if self.judge.aspect in OF_PROMPTS:
            raise ValueError(f"judge: {self.judge.name} judges no replies; take guard-input, or mode: response")

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply: Reply = yield ask
        if not reply.is_said or not reply.text.strip():
            return reply
        decision = yield from Gate(self.judge, self.threshold).decided(self.name, answered(ask.chat, reply))
        return refused(self.refusal, decision, reply) if decision.fired else noted(reply, decision)

    def most_asks(self, of_judge: Callable[[Judge], int]) -> tuple[int, int]:
        return 1, Gate(self.judge, self.threshold).most_asks(of_judge)
