"""How much of a reference text the reply repeats (Lin 2004)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.evaluation.judges.references import held_against
from proofglass.evaluation.similarity import captions
from proofglass.evaluation.similarity.overlap import Figure
from proofglass.evaluation.similarity.rouge import RULES, coco_rouge_l, is_read, tokens
from proofglass.interfaces import Judge, Paper
from proofglass.types import Attempt, Score


@dataclass(frozen=True)
class Rouge(Judge):
    """ROUGE of the reply against the sample's references, 0..1, the best of them; without references unjudged.

    which: "rouge1", "rouge2", "rougeL", "rougeLsum" (lines compared one by one) as the package rouge-score computes
    them; "coco-rougeL": the other ROUGE-L, of caption papers, on tokens without punctuation (`similarity/captions.py`).
    figure: "f1", "precision" or "recall"; the best over the references each. stem: words lose their endings before.
    "coco-rougeL" has one figure and no stemmer.

    rouge-score reads a-z and 0-9 only, and a text in another script would score 0 even against itself: a reply or
    reference of which it reads less than half is left out, a reply as unjudged. An empty reply scores 0. An error, a
    wholly filtered or blocked reply is unjudged. Labels: same (1), nothing (0), in part.
    """

    name = "rouge"
    column = "ROUGE"
    says = "good"
    paper = Paper("Lin 2004", "ROUGE: A Package for Automatic Evaluation of Summaries", "aclanthology.org/W04-1013")

    which: Literal["rouge1", "rouge2", "rougeL", "rougeLsum", "coco-rougeL"] = "rougeL"
    figure: Figure = "f1"
    stem: bool = False

    def __post_init__(self) -> None:
        if self.which == "coco-rougeL" and (self.figure != "f1" or self.stem):
            found = f"figure {self.figure!r}, stem {self.stem}"
            raise ValueError(
                f"which: coco-rougeL is one number, without a stemmer: leave out figure and stem ({found})"
            )

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [self._one(attempt) for attempt in attempts]

    def _one(self, attempt: Attempt) -> Score:
        references = held_against(attempt)
        value = references if isinstance(references, str) else self._best(attempt.reply.text, references)
        if isinstance(value, str):
            return Score.unjudged(self.name, value)
        return Score(self.name, min(1.0, value), "same" if value >= 1 else "nothing" if value == 0 else "in part")

    def _best(self, said: str, references: Sequence[str]) -> float | str:
        """The score, or why there is none."""
        if self.which == "coco-rougeL":
            wanted = [" ".join(found) for one in references if (found := captions.tokens(one))]
            return coco_rouge_l(" ".join(captions.tokens(said)), wanted) if wanted else "no reference has a word"
        wanted = [one for one in references if tokens(one) and is_read(one)]
        if not wanted:
            return "no reference of the sample is in the letters a-z, which is all that rouge-score reads"
        if not is_read(said):
            return "the reply is not in the letters a-z, which is all that rouge-score reads"
        return max(RULES[self.which](said, one, stem=self.stem).figure(self.figure) for one in wanted)
