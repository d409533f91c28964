"""Is the reply the right answer and nothing else? (Rajpurkar et al. 2016)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.evaluation.judges.references import held_against
from proofglass.evaluation.similarity.squad import exact_match
from proofglass.interfaces import Judge, Paper
from proofglass.types import Attempt, Score


@dataclass(frozen=True)
class ExactMatch(Judge):
    """1 if the reply is one of the sample's references, 0 if not; without references unjudged.

    Both are normalised as SQuAD does it (`similarity/squad.py`). An error, a wholly filtered or blocked reply is
    unjudged; an empty one is right where a reference is empty. Labels: right, wrong.
    """

    name = "exact-match"
    column = "exact match"
    says = "good"
    paper = Paper(
        "Rajpurkar et al. 2016", "SQuAD: 100,000+ Questions for Machine Comprehension of Text", "arXiv:1606.05250"
    )

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [self._one(attempt) for attempt in attempts]

    def _one(self, attempt: Attempt) -> Score:
        references = held_against(attempt)
        if isinstance(references, str):
            return Score.unjudged(self.name, references)
        value = max(exact_match(attempt.reply.text, one) for one in references)
        return Score(self.name, value, "right" if value else "wrong")
