"""The text counterpart of Qi et al.'s universal picture (2023), arXiv:2306.13213: a trigger of 32 tokens.

HotFlip, position after position, against a corpus of targets, of which each step sees a few: what a picture of 32
tokens buys, bought with 32 tokens of text. It stands where the picture would stand, in front of the question.
Departures from the authors' code (`text_attacker.py`):
- tokens are searched as ids, and a candidate must read back as its own tokens inside the chat; theirs joins words by
  blanks, so that the trigger may grow and the place of its gradient drift.
- words that read back as one token are drawn there; here tokens whose row reads back as itself.
- the corpus is a parameter or comes from the data set, theirs (derogatory sentences) is not shipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.attacks.crafting.pixels import by_id
from proofglass.attacks.crafting.tokens import TokenCraft, told_text
from proofglass.engine.marked import Written
from proofglass.engine.swaps import Swaps
from proofglass.interfaces import Attack, Count, Paper, Steps, Text, Victim
from proofglass.types import Artefact, Budget, Chat, Sample


@dataclass(frozen=True)
class Qi2023Text(Attack):
    """One universal trigger against a corpus of targets (white box, HotFlip), the counterpart of `qi2023`.

    tokens: length of the trigger, the paper's 32. rounds: sweeps over its positions; the code makes 501. candidates:
    flips that are scored at each position, the code's 100. targets_per_step: how many targets a position sees, drawn
    without replacement; 8. context: "empty" teaches each target under the trigger alone (the paper), "sample" under the
    trigger and each crafting sample's own prompt. targets: the corpus for "empty" (empty: the targets of the crafting
    samples). start: a text that is repeated while it stays within `tokens`; "" for random tokens, as theirs.
    weighting: of the targets' tokens: "token" = Hugging Face's loss over the batch (theirs), "pair" = the mean over
    targets, "sum". ascii_only: leaves out tokens that are no plain ASCII. check_every: positions between two looks at
    how many crafting chats begin with their target, all of which end the search; 0, as in the paper, for none.

    Targets are drawn by the ids of the samples (of `targets`: by their order).
    """

    tokens: Count = 32
    rounds: Steps = 501
    candidates: Count = 100
    targets_per_step: Count = 8
    context: Literal["empty", "sample"] = "empty"
    targets: tuple[Text, ...] = ()
    start: str = ""
    weighting: Literal["token", "pair", "sum"] = "token"
    ascii_only: bool = False
    check_every: Steps = 0

    name = "qi2023-text"
    paper = Paper(
        "Qi et al. 2023",
        "Visual Adversarial Examples Jailbreak Aligned Large Language Models",
        "arXiv:2306.13213",
    )
    opens = "gradients"
    threat = "user"
    changes = ("text",)
    scope = "universal"
    reports = "about 12 times the computation of the picture, and a weaker attack (from the survey, unverified)"

    def __post_init__(self) -> None:
        if self.context == "sample" and self.targets:
            raise ValueError("targets: with context 'sample' each crafting sample brings its own target")

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        crafting = TokenCraft(
            Swaps("sweep", self.candidates, accepts="better"),
            self.rounds * self.tokens,
            self.tokens,
            self.start,
            self.ascii_only,
            self.check_every,
            self.weighting,
            self.targets_per_step,
        )
        yield crafting.one(self, victim, self._taught(by_id(samples)), _in_front, seed=seed, budget=budget)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        """The trigger in front of the question; pictures stay in front of both."""
        return _in_front(sample).says(told_text(artefact))

    def _taught(self, samples: Sequence[Sample]) -> list[Sample]:
        """A sample for each chat that is taught: its prompt and its target."""
        if self.context == "sample":
            return [sample for sample in samples if sample.target]
        corpus = self.targets or tuple(dict.fromkeys(s.target for s in samples if s.target))
        return [
            Sample(id=f"target/{k}", dataset=self.name, chat=Chat.user(""), expected="comply", target=target)
            for k, target in enumerate(corpus)
        ]


def _in_front(sample: Sample) -> Written:
    said = sample.chat.last_text
    return Written(sample.chat, after=f" {said}" if said else "")
