"""CIDEr-D of the replies of a cell against their references (Vedantam et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.evaluation.metrics.estimates import of_table, without
from proofglass.evaluation.metrics.texts import BARE, texts_of
from proofglass.evaluation.similarity import captions
from proofglass.evaluation.similarity.cider import cider_d, has_weights
from proofglass.interfaces import Measure, Metric, Paper

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


@dataclass(frozen=True)
class CiderD(Metric):
    """Mean CIDEr-D of the replies, 0..10, which Schlarmann & Hein measure captions by.

    Each row counts as a picture of its own; n-grams are weighed by how few rows have them in their references, so the
    number belongs to this set of rows: never compare it with that of a part. With one row, or references that are the
    same for all, there are no weights and no number. Tokens: `similarity/captions.py`, in place of the Java tokeniser
    of the official evaluation, with which it agrees on nearly every caption.

    Which rows count, and that a withheld reply is an empty one: `metrics/texts.py`. The interval draws clusters, with
    the weights of the whole set.
    """

    name = "cider-d"
    column = "CIDEr-D"
    better = "higher"
    range = (0.0, 10.0)
    paper = Paper("Vedantam et al. 2015", "CIDEr: Consensus-based Image Description Evaluation", "arXiv:1411.5726")

    def over(self, rows: pl.DataFrame) -> Measure:
        import numpy as np

        texts = texts_of(rows)
        if texts.missing:
            return Measure.none(texts.missing)
        references = [list(map(captions.tokens, wanted)) for wanted in texts.references]
        if not has_weights(references):
            many = "the references of all rows hold the same words" if len(references) > 1 else "there is one row"
            return Measure.none(f"CIDEr weighs words by how few pictures they belong to, and {many}")
        scores = cider_d(list(map(captions.tokens, texts.said)), references)
        sums = np.array([[min(10.0, score), 1.0] for score in scores])
        return without(of_table(sums, texts.clusters, _mean), texts.bare, BARE)


def _mean(sums: np.ndarray) -> np.ndarray:
    mean: np.ndarray = sums[:, 0] / sums[:, 1]
    return mean
