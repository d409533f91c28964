"""How much of the right answer was said, word by word (Rajpurkar et al. 2016, as PrivQA measures utility)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.evaluation.judges.references import held_against, right_or
from proofglass.evaluation.similarity.overlap import Figure
from proofglass.evaluation.similarity.squad import token_overlap
from proofglass.interfaces import Judge, Paper
from proofglass.types import Attempt, Score


@dataclass(frozen=True)
class TokenF1(Judge):
    """The tokens that the reply shares with the sample's reference, 0..1, the best of its references; without unjudged.

    Both are normalised as SQuAD does it (`similarity/squad.py`): "one" is not "1", and a text without blanks (Chinese)
    is one token. An empty reply to an empty reference scores 1, to any other 0. An error, a wholly filtered or blocked
    reply is unjudged. Labels: right (1), wrong (0), in part.

    figure: "f1"; a long reply that holds the answer is punished on "precision", see "recall" beside it. Each is the
    best over the references by itself.
    """

    name = "token-f1"
    column = "token F1"
    says = "good"
    paper = Paper(
        "Rajpurkar et al. 2016", "SQuAD: 100,000+ Questions for Machine Comprehension of Text", "arXiv:1606.05250"
    )

    figure: Figure = "f1"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [self._one(attempt) for attempt in attempts]

    def _one(self, attempt: Attempt) -> Score:
        references = held_against(attempt)
        if isinstance(references, str):
            return Score.unjudged(self.name, references)
        value = max(token_overlap(attempt.reply.text, one).figure(self.figure) for one in references)
        return Score(self.name, value, right_or(value, "in part"))
