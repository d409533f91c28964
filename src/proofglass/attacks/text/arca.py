"""ARCA of Jones et al. (2023), arXiv:2303.04381: coordinate ascent over tokens, with an averaged first-order score.

Position after position: several random tokens stand there in turn, the gradients at them are averaged, the tokens of
best score are tried, and the best of those is taken, even where it is worse (as the released code does).
Departures from that code (ejones313/auditing-llms): it searches whole prompts, of which this is the suffix of a chat
(its "prompt prefix"), and outputs, too, which are fixed here; no perplexity or unigram term; fill-ins are tokens that
may be written (theirs: any); candidates must read back as their own tokens inside the chat; the best suffix so far is
kept apart (theirs stops at the first success).
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
class ARCA(Attack):
    """A suffix that makes an affirmative opening likely: one position at a time, scored at several random tokens.

    universal: one suffix for all samples, searched on the crafting split (the mean loss over its prompts), in place of
    one for each. tokens: length of the suffix. start: a text that is repeated, with spaces between, while it stays
    within `tokens`; "" for random tokens, as theirs. steps: changes, one position each, in order; theirs sweeps 50
    times. fill_ins: random tokens whose gradients are averaged; 1: the current one, without a draw. candidates: tokens
    that are scored at each step. (The code's batch size, 32 in its example, is both.) ascii_only: leaves out tokens
    that are no plain ASCII. check_every: steps between two looks whether the greedy reply begins with the target, which
    end the search of what succeeded; 0 for none. A look is a query of each chat.
    """

    universal: bool = False
    tokens: Count = 20
    start: str = ""
    steps: Steps = 1000
    fill_ins: Count = 32
    candidates: Count = 32
    ascii_only: bool = True
    check_every: Steps = 50

    name = "arca"
    paper = Paper(
        "Jones et al. 2023",
        "Automatically Auditing Large Language Models via Discrete Optimization",
        "arXiv:2303.04381",
    )
    reports = "text models made to say chosen outputs; no figure on a multimodal model"
    opens = "gradients"
    threat = "user"
    changes = ("text",)

    @property
    def scope(self) -> Scope:
        return "universal" if self.universal else "sample"

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        swaps = Swaps("sweep", self.candidates, fill_ins=self.fill_ins)
        crafting = TokenCraft(swaps, self.steps, self.tokens, self.start, self.ascii_only, self.check_every)
        yield from crafting.texts(self, victim, samples, after_question, seed=seed, budget=budget)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return suffixed(sample, told_text(artefact))
