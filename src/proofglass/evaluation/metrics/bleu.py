"""BLEU-4 of the replies of a cell against their references (Papineni et al. 2002)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from proofglass.evaluation.metrics.estimates import of_table, without
from proofglass.evaluation.metrics.texts import BARE, texts_of
from proofglass.evaluation.similarity import bleu, captions
from proofglass.evaluation.similarity.bleu import Tokenizer
from proofglass.interfaces import Measure, Metric, Paper

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Bleu4(Metric):
    """Corpus BLEU-4 in 0..1 (often given times 100): n-grams of all replies together, never a mean of sentences.

    variant: "sacrebleu", for reports; "coco", to replicate caption papers: its smoothing, on tokens in lower case
    without punctuation. tokenize, lowercase: of sacrebleu ("zh" or "char" for text without blanks); the reason of the
    number is sacrebleu's signature, and numbers of two signatures cannot be compared.

    Which rows count, and that a withheld reply is an empty one: `metrics/texts.py`. The interval draws clusters.
    """

    name = "bleu-4"
    column = "BLEU-4"
    better = "higher"
    paper = Paper(
        "Papineni et al. 2002",
        "BLEU: a Method for Automatic Evaluation of Machine Translation",
        "doi:10.3115/1073083.1073135",
    )

    variant: Literal["sacrebleu", "coco"] = "sacrebleu"
    tokenize: Tokenizer = "13a"
    lowercase: bool = False

    def __post_init__(self) -> None:
        if self.variant == "coco" and (self.tokenize != "13a" or self.lowercase):
            raise ValueError("tokenize, lowercase: of variant 'sacrebleu'; 'coco' has its own tokens, leave them out")

    @property
    def signature(self) -> str:
        return "coco" if self.variant == "coco" else bleu.signature(self.tokenize, self.lowercase)

    def over(self, rows: pl.DataFrame) -> Measure:
        import numpy as np

        texts = texts_of(rows)
        if texts.missing:
            return Measure.none(texts.missing)
        pairs = zip(texts.said, texts.references, strict=True)
        if self.variant == "coco":
            sums = [bleu.coco_sums(captions.tokens(said), list(map(captions.tokens, wanted))) for said, wanted in pairs]
        else:
            sums = [bleu.sacre_sums(said, wanted, self.tokenize, self.lowercase) for said, wanted in pairs]
        score = bleu.coco_bleu if self.variant == "coco" else bleu.sacre_bleu
        found = of_table(np.array(sums, np.float64), texts.clusters, lambda drawn: np.minimum(1.0, score(drawn)))
        return without(replace(found, reason=self.signature), texts.bare, BARE)
