"""How often the interval of an AUROC holds the truth, and how wide it is, where rows share questions.

    python scripts/roc_coverage.py [REPEATS]

Probabilities are normal before the logistic function, the yes shifted so that the AUROC is known; half of the variance
belongs to the question. Beside it the percentile bootstrap over questions alone, as most tools have it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from proofglass.console import say
from proofglass.evaluation.statistics import bootstrap_rows
from proofglass.evaluation.statistics.ranking import Ranked
from proofglass.evaluation.trust.roc import roc

CASES = (  # questions labelled yes, no; rows of each; AUROC
    (5, 40, 1, 0.9),
    (10, 10, 1, 0.8),
    (10, 10, 1, 0.97),
    (30, 30, 1, 0.8),
    (30, 30, 1, 0.97),
    (30, 30, 4, 0.8),
    (30, 30, 4, 0.97),
    (100, 100, 4, 0.97),
)


def drawn(case: tuple[int, int, int, float], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(label, probability, question) of each row."""
    yes, no, size, area = case
    label = np.repeat(np.arange(yes + no) < yes, size)
    shift = NormalDist().inv_cdf(area) * np.sqrt(2)
    shared = np.repeat(rng.normal(size=yes + no), size)
    own = rng.normal(size=len(label))
    z = label * shift + (np.sqrt(0.5) * (shared + own) if size > 1 else own)
    return label, 1 / (1 + np.exp(-z)), np.repeat(np.arange(yes + no), size)


def told(truth: float, ends: Sequence[tuple[float, float] | None]) -> str:
    kept = [each for each in ends if each is not None]
    covered = sum(low <= truth <= high for low, high in kept) / len(ends)
    return f"{covered:.3f} | {sum(high - low for low, high in kept) / max(1, len(kept)):.3f}"


def main(repeats: int) -> None:
    say("| questions yes | no | rows each | AUROC | covers | width | bootstrap alone covers | width |")
    say("|---|---|---|---|---|---|---|---|")
    for k, case in enumerate(CASES):
        rng = np.random.default_rng(k)
        ours: list[tuple[float, float] | None] = []
        plain: list[tuple[float, float] | None] = []
        for _ in range(repeats):
            label, value, question = drawn(case, rng)
            found = roc(label.tolist(), value.tolist(), question.tolist(), recalls=(), alarms=()).auroc
            ours.append(None if found.low is None or found.high is None else (found.low, found.high))
            ranked = Ranked.of(label, value)
            plain.append(bootstrap_rows(question.tolist(), lambda weights, r=ranked: r.areas(weights)[0]))
        say(f"| {' | '.join(map(str, case))} | {told(case[3], ours)} | {told(case[3], plain)} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
