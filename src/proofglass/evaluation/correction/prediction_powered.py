"""Prediction-powered inference: all rows have a judge's score, a random sample of them a label too."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import sqrt

from proofglass.evaluation.statistics.quantiles import normal_quantile


def prediction_powered(
    scores: Sequence[float],
    sample: Sequence[float],
    labels: Sequence[float],
    *,
    power: float | None = None,
    clusters: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """The mean label and its interval: power * mean(scores) + mean(labels - power * sample).

    scores: the judge's, of all N rows; sample: its scores of the n labelled ones; labels: theirs, in the same order.
    power: 1 is the first paper, 0 ignores the judge, None takes the one with the smallest variance. clusters: of the
    rows of `scores` and of `sample`; questions may be shared. The interval is a normal one: with few positive labels
    (below about 20) it covers less than it says; `from_labels` holds there, for judges that say yes or no.
    Raises ValueError for no rows, fewer than two labels, or lengths that differ.
    Source: Angelopoulos et al. 2023, arXiv:2301.09633; the power: Angelopoulos, Duchi and Zrnic 2023,
    arXiv:2311.01453. As in their code scores and sample count as independent.
    """
    import numpy as np

    every, seen, truth = (np.asarray(each, float) for each in (scores, sample, labels))
    if len(every) < 1 or len(truth) < 2 or len(seen) != len(truth):
        raise ValueError(
            f"labels: expected at least 2, one for each of the {len(seen)} scores in `sample`, found {len(truth)}"
        )
    if power is None:
        scale = (1 + len(seen) / len(every)) * np.concatenate([every, seen]).var()
        power = float(np.mean((seen - seen.mean()) * (truth - truth.mean())) / scale) if scale else 0.0
    value = power * every.mean() + (truth - power * seen).mean()
    parts = [power * (every - every.mean()) / len(every), (truth - power * seen) / len(truth)]
    parts[1] = parts[1] - parts[1].mean()
    if clusters is None:
        variance = sum(float((part**2).sum()) for part in parts)
    else:
        names = [*clusters[0], *clusters[1]]
        codes = {name: k for k, name in enumerate(dict.fromkeys(names))}
        sums = np.bincount([codes[name] for name in names], weights=np.concatenate(parts))
        variance = float((sums**2).sum()) * len(codes) / max(len(codes) - 1, 1)
    half = normal_quantile(level) * sqrt(variance)
    return float(value), float(value - half), float(value + half)
