"""Greedy coordinate gradient (GCG) of Zou et al. (2023), arXiv:2307.15043: a suffix behind the question.

A step reads the gradient at every token of the suffix, draws one-token changes from the most promising of each position
and goes on from the best of them, even where it is worse; the best suffix so far is kept apart.
Departures from the released code (llm-attacks), of which the figures here are from memory and copies, unverified:
- candidates must read back as their own tokens inside the chat, where theirs must keep their length by themselves.
- positions are i x L // B for candidate i, as theirs; a candidate that is drawn twice is scored once.
- a universal suffix sees all its prompts from the first step, by the mean of their losses; theirs adds prompts one by
  one and adds up gradients of unit norm. One victim (theirs: also several).
- what is found is the best suffix; theirs is the last one, or the one that passed its test.
- pictures in the chat stay in the context, as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proofglass.attacks.crafting.tokens import TokenCraft, after_question, suffixed, told_text
from proofglass.engine.swaps import Swaps
from proofglass.interfaces import Attack, Count, Paper, Steps, Victim
from proofglass.interfaces.attacks import Scope
from proofglass.types import Artefact, Budget, Chat, Sample


@dataclass(frozen=True)
class GCG(Attack):
    """A suffix that makes an affirmative opening likely, by gradients and a batch of random one-token changes.

    universal: one suffix for all samples, searched on the crafting split (the mean loss over its prompts), in place of
    one for each. tokens: length of the suffix. start: a text that is repeated, with spaces between, while it stays
    within `tokens`. steps: one-token changes, the paper's 500. candidates: scored at each step, the paper's 512. top:
    they are drawn from so many best tokens of each position, the paper's 256. ascii_only: leaves out tokens that are no
    plain ASCII. check_every: steps between two looks whether the greedy reply begins with the target, which end the
    search of what succeeded; 0 for none. A look is a query of each chat.
    """

    universal: bool = False
    tokens: Count = 20
    start: str = "!"
    steps: Steps = 500
    candidates: Count = 512
    top: Count = 256
    ascii_only: bool = True
    check_every: Steps = 50

    name = "gcg"
    paper = Paper(
        "Zou et al. 2023",
        "Universal and Transferable Adversarial Attacks on Aligned Language Models",
        "arXiv:2307.15043",
    )
    opens = "gradients"
    threat = "user"
    changes = ("text",)
    reports = (
        "AdvBench, one suffix per behaviour: Vicuna-7B 99 %, LLaMA-2-7B-chat 56 % (figures from memory, unverified)"
    )

    @property
    def scope(self) -> Scope:
        return "universal" if self.universal else "sample"

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        swaps = Swaps("all", self.candidates, self.top)
        crafting = TokenCraft(swaps, self.steps, self.tokens, self.start, self.ascii_only, self.check_every)
        yield from crafting.texts(self, victim, samples, after_question, seed=seed, budget=budget)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return suffixed(sample, told_text(artefact))
