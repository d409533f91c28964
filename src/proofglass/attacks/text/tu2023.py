"""The adversarial suffixes of Tu et al. (2023), "How many unicorns are in this image?", arXiv:2311.16101: its text.

GCG suffixes, searched on the language model alone ("text") or with the picture's tokens kept in the context while
gradients are taken ("picture"): the picture does not move, only the suffix does.
The authors release suffixes, trained with the code of Zou et al., and no code of their own: the figures below are those
of `gcg`, and which prompts each suffix saw is not known. Departures: those of `gcg`; a sample without a picture gets a
grey one while "picture" searches, none while it is judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.attacks.crafting.tokens import TokenCraft, after_question, suffixed, told_text
from proofglass.engine.marked import Written
from proofglass.engine.pictures import check_sees, grey
from proofglass.engine.swaps import Swaps
from proofglass.interfaces import Attack, Count, Paper, Steps, Victim
from proofglass.interfaces.attacks import Scope
from proofglass.types import Artefact, Budget, Chat, Message, Sample


@dataclass(frozen=True)
class Tu2023Text(Attack):
    """A suffix by GCG against a model that sees: with the picture in the context, or searched without and then shown.

    context: "picture" keeps each chat's picture in front of the text while searching, "text" takes it away. universal:
    one suffix for all samples, searched on the crafting split, in place of one for each. tokens: length of the suffix.
    start: a text that is repeated, with spaces between, while it stays within `tokens`. steps: one-token changes.
    candidates: scored at each step. top: they are drawn from so many best tokens of each position. ascii_only: leaves
    out tokens that are no plain ASCII. check_every: steps between two looks whether the greedy reply begins with the
    target, which end the search of what succeeded; 0 for none.
    """

    context: Literal["picture", "text"] = "picture"
    universal: bool = True
    tokens: Count = 20
    start: str = "!"
    steps: Steps = 500
    candidates: Count = 512
    top: Count = 256
    ascii_only: bool = True
    check_every: Steps = 50

    name = "tu2023-text"
    paper = Paper(
        "Tu et al. 2023",
        "How Many Unicorns Are in This Image? A Safety Evaluation Benchmark for Vision LLMs",
        "arXiv:2311.16101",
    )
    opens = "gradients"
    threat = "user"
    changes = ("text",)
    reports = "suffixes succeed more often on the model that sees than on the language model inside (unverified)"

    @property
    def scope(self) -> Scope:
        return "universal" if self.universal else "sample"

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        if self.context == "picture":
            check_sees(victim)
        swaps = Swaps("all", self.candidates, self.top)
        crafting = TokenCraft(swaps, self.steps, self.tokens, self.start, self.ascii_only, self.check_every)

        def says(sample: Sample) -> Written:
            return after_question(dataclasses.replace(sample, chat=self._shown(sample.chat, victim)))

        yield from crafting.texts(self, victim, samples, says, seed=seed, budget=budget)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return suffixed(sample, told_text(artefact))

    def _shown(self, chat: Chat, victim: Victim) -> Chat:
        """`chat` as the search sees it."""
        if self.context == "text":
            return Chat(tuple(Message(m.role, (m.text,) if m.images else m.parts) for m in chat.messages))
        return chat if chat.images else chat.with_image(grey(victim))
