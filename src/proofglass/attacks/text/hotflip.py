"""HotFlip of Ebrahimi et al. (2018), arXiv:1712.06751, as a suffix search on a language model.

Position after position: the tokens that promise the largest fall of the loss, to first order, are scored, and the best
is taken if it is better than the current one. It is ARCA (`arca`) with one fill-in, the current token.
Departures: the paper flips characters and words of a classifier's input, by beam search or greedily; here tokens of a
suffix move the likelihood of a target, greedily, as its use as a text counterpart does (Qi et al. 2023, whose
100 candidates are the default). Candidates must read back as their own tokens inside the chat.
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
class HotFlip(Attack):
    """A suffix that makes an affirmative opening likely: one position at a time, its best first-order flips, tried.

    universal: one suffix for all samples, searched on the crafting split (the mean loss over its prompts), in place of
    one for each. tokens: length of the suffix. start: a text that is repeated, with spaces between, while it stays
    within `tokens`. steps: flips, one position each, in order. candidates: flips that are scored at each
    step. ascii_only: leaves out tokens that are no plain ASCII. check_every: steps between two looks whether the greedy
    reply begins with the target, which end the search of what succeeded; 0 for none. A look is a query of each chat.
    """

    universal: bool = False
    tokens: Count = 20
    start: str = "!"
    steps: Steps = 500
    candidates: Count = 100
    ascii_only: bool = True
    check_every: Steps = 50

    name = "hotflip"
    paper = Paper(
        "Ebrahimi et al. 2018", "HotFlip: White-Box Adversarial Examples for Text Classification", "arXiv:1712.06751"
    )
    reports = "classifiers of text; no figure on a multimodal model"
    opens = "gradients"
    threat = "user"
    changes = ("text",)

    @property
    def scope(self) -> Scope:
        return "universal" if self.universal else "sample"

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        swaps = Swaps("sweep", self.candidates, accepts="better")
        crafting = TokenCraft(swaps, self.steps, self.tokens, self.start, self.ascii_only, self.check_every)
        yield from crafting.texts(self, victim, samples, after_question, seed=seed, budget=budget)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return suffixed(sample, told_text(artefact))
