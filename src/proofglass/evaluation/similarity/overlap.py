"""What two texts have in common, as precision, recall and F1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

Figure = Literal["f1", "precision", "recall"]
NGram = tuple[Hashable, ...]


@dataclass(frozen=True)
class Overlap:
    """precision: share of what was said that is in the reference; recall: share of the reference that was said."""

    precision: float
    recall: float
    f1: float

    @classmethod
    def of(cls, common: int, said: int, wanted: int) -> Overlap:
        """From how many tokens are in both, in what was said and in the reference; 0 where one of them has none."""
        if not (common and said and wanted):
            return cls(0.0, 0.0, 0.0)
        precision, recall = common / said, common / wanted
        return cls(precision, recall, 2 * precision * recall / (precision + recall))

    def figure(self, name: Figure) -> float:
        return {"f1": self.f1, "precision": self.precision, "recall": self.recall}[name]


def ngrams(tokens: Sequence[Hashable], n: int) -> Counter[NGram]:
    """How often each run of `n` tokens occurs."""
    return Counter(tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))
