"""How often the intervals of macro-F1, AUROC, the protection score and non-inferiority hold the truth, by questions.

    OMP_NUM_THREADS=1 python scripts/metric_coverage.py [--runs 400] [--seed 0]

Made-up victims whose true figures are known: labels right with chance 0.8, and "yes" for half of the truths; scores of
two normals 1.25 standard deviations apart; a protection score of 0.8 and 0.6; a defense that gains 5 % of the answers
and loses 10 %, so that the change is just the margin. Rows of a question: one, or three that
are all alike. Printed are the share of runs whose 95 % interval holds the truth, of those that have one, and behind it
the share of runs without an interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import polars as pl

from proofglass.console import say
from proofglass.evaluation.metrics.auroc import Auroc
from proofglass.evaluation.metrics.classification import Classification
from proofglass.evaluation.metrics.non_inferiority import NonInferiority
from proofglass.evaluation.metrics.protection import Protection
from proofglass.interfaces import Measure

QUESTIONS = (10, 20, 30, 60, 200)
APART = 1.25


def macro_f1(draw: np.random.Generator, questions: int, rows: int) -> tuple[Measure, float]:
    truth = np.where(draw.random(questions) < 0.5, "yes", "no")
    said = np.where(draw.random(questions) < 0.8, truth, np.where(truth == "yes", "no", "yes"))
    frame = _frame(questions, rows, {"label:j": said}).with_columns(references=pl.Series(truth).repeat_by(1))
    return Classification("macro-F1", judge="j").over(pl.concat([frame] * rows)), 0.8


def auroc(draw: np.random.Generator, questions: int, rows: int) -> tuple[Measure, float]:
    truth = draw.random(questions) < 0.5
    bell = NormalDist()
    scores = np.array([bell.cdf(x) for x in draw.normal(APART * truth)])
    words = pl.Series(np.where(truth, "yes", "no"))
    frame = _frame(questions, rows, {"given:j": scores}).with_columns(references=words.repeat_by(1))
    return Auroc("j").over(pl.concat([frame] * rows)), bell.cdf(APART / 2**0.5)


def protection(draw: np.random.Generator, questions: int, rows: int) -> tuple[Measure, float]:
    inside = np.arange(questions) % 2 == 0
    abstains = (draw.random(questions) < np.where(inside, 0.8, 0.4)).astype(float)
    kinds = pl.Series(np.where(inside, "protect", "control"))
    frame = _frame(questions, rows, {"score:refusal": abstains}).with_columns(expected=kinds)
    return Protection().over(pl.concat([frame] * rows)), 2 * 0.8 * 0.6 / 1.4


def non_inferiority(draw: np.random.Generator, questions: int, rows: int) -> tuple[Measure, float]:
    kind = draw.choice(3, questions, p=[0.05, 0.1, 0.85])  # gained, lost, alike
    sides = []
    for defense, score in (("d", kind == 0), ("none", kind == 1)):
        frame = _frame(questions, rows, {"score:success": score.astype(float)})
        labels = {"victim": "v", "attack": "no-attack", "dataset": "s", "expected": "comply", "defense": defense}
        told = frame.with_columns(undefended=pl.lit(defense == "none"), unattacked=pl.lit(value=True)).with_columns(
            pl.lit(label).alias(name) for name, label in labels.items()
        )
        sides += [told.with_columns(sample_id=pl.col("cluster") + f"-{k}") for k in range(rows)]
    ((_, found),) = NonInferiority().over_groups(pl.concat(sides))
    return found, -0.05


FIGURES: dict[str, Callable[[np.random.Generator, int, int], tuple[Measure, float]]] = {
    "macro-F1": macro_f1,
    "AUROC": auroc,
    "protection score": protection,
    "non-inferiority": non_inferiority,
}


def _frame(questions: int, rows: int, columns: dict[str, np.ndarray]) -> pl.DataFrame:
    names = [f"q{k}" for k in range(questions)]
    return pl.DataFrame({"cluster": names, "outcome": "ok", "reply": "r", **columns})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    say(f"| figure | rows a question | {' | '.join(f'{k} questions' for k in QUESTIONS)} |")
    say("|---|---|" + "---|" * len(QUESTIONS))
    for name, figure in FIGURES.items():
        for rows in (1, 3):
            cells = []
            for questions in QUESTIONS:
                draw = np.random.default_rng([asked.seed, questions, rows])
                found = [figure(draw, questions, rows) for _ in range(asked.runs)]
                told = [(m.low, truth, m.high) for m, truth in found if m.low is not None and m.high is not None]
                held = sum(low <= truth <= high for low, truth, high in told)
                cells.append(f"{held / len(told):.0%}, {1 - len(told) / asked.runs:.0%}")
            say(f"| {name} | {rows} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
