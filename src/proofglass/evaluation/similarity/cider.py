"""CIDEr-D (Vedantam et al. 2015), as the COCO caption evaluation computes it.

For n = 1..4: how often an n-gram occurs, times log(pictures) - log(pictures whose references hold it); the cosine of
both vectors, where the hypothesis counts no n-gram more than the reference does, times exp(-d^2 / 2 sigma^2) of the
difference of lengths; the mean over references and n, times 10.

The weights come from the set, so scores of different sets (a subset, too) cannot be compared. Of one picture every
weight is 0, and so is the score. Two different references: even a copy of one of them scores less than 10.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

from proofglass.evaluation.similarity.overlap import NGram, ngrams

LONGEST = 4
SIGMA = 6.0


@dataclass(frozen=True)
class _Vector:
    """weights, norms: by n - 1; length: pairs of tokens, which is how the reference code counts."""

    weights: tuple[Mapping[NGram, float], ...]
    norms: tuple[float, ...]
    length: int


def cider_d(said: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]) -> list[float]:
    """The score of each picture; their mean is that of the set. All texts as tokens, references by picture.

    Raises ValueError where the numbers differ, or a picture has no reference.
    """
    if len(said) != len(references):
        raise ValueError(f"references: expected those of {len(said)} pictures, found {len(references)}")
    if not all(references):
        raise ValueError("references: expected at least one for every picture, found none")
    counted = [[_counted(one) for one in each] for each in references]
    found = Counter(gram for each in counted for gram in set().union(*each))
    pictures = log(len(said)) if said else 0.0

    def vector(counts: Counter[NGram]) -> _Vector:
        weights: tuple[dict[NGram, float], ...] = tuple({} for _ in range(LONGEST))
        for gram, count in counts.items():
            weights[len(gram) - 1][gram] = count * (pictures - log(max(1, found[gram])))
        norms = tuple(sqrt(sum(weight * weight for weight in each.values())) for each in weights)
        return _Vector(weights, norms, sum(count for gram, count in counts.items() if len(gram) == 2))

    scores = []
    for hypothesis, wanted in zip(said, counted, strict=True):
        ours = vector(_counted(hypothesis))
        scores.append(10 * sum(_alike(ours, vector(one)) for one in wanted) / (LONGEST * len(wanted)))
    return scores


def has_weights(references: Sequence[Sequence[Sequence[Hashable]]]) -> bool:
    """Whether any n-gram of the references tells pictures apart: one that not all of them hold."""
    held = [set().union(*(_counted(one) for one in each)) for each in references]
    return len(held) > 1 and any(one != held[0] for one in held)


def _counted(tokens: Sequence[Hashable]) -> Counter[NGram]:
    counts: Counter[NGram] = Counter()
    for n in range(1, LONGEST + 1):
        counts.update(ngrams(tokens, n))
    return counts


def _alike(ours: _Vector, theirs: _Vector) -> float:
    """The sum over n of the clipped cosine, less for another length."""
    total = 0.0
    for mine, wanted, norm, other in zip(ours.weights, theirs.weights, ours.norms, theirs.norms, strict=True):
        if norm and other:
            common = sum(min(weight, wanted[gram]) * wanted[gram] for gram, weight in mine.items() if gram in wanted)
            total += common / (norm * other)
    return total * exp(-((ours.length - theirs.length) ** 2) / (2 * SIGMA**2))
