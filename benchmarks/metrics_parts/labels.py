"""Metrics of labels, scores and pictures beside scikit-learn, scikit-image and second derivations of their formulas."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from skimage.metrics import peak_signal_noise_ratio
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from metrics_parts.compared import Comparison
from proofglass.evaluation.metrics.balance import balance
from proofglass.evaluation.metrics.classification import Classification, counts, macro_f1
from proofglass.evaluation.metrics.protection import protection
from proofglass.evaluation.metrics.toxicity import expected_maximum, toxicity_probability, wintore
from proofglass.evaluation.metrics.yes_no import YesNo
from proofglass.evaluation.similarity.pictures import Variant, psnr, ssim
from proofglass.evaluation.statistics.ranking import Ranked

LETTERS = ("A", "B", "C", "D")
UNREAD = "invalid"


# ---- labels: (truth, said) of each row; said may be none of the labels ----


def _letters(draw: random.Random, n: int) -> list[Any]:
    """1 to 30 rows; of some cases a label or two is never true, never said, or nothing is read."""

    def one() -> list[tuple[str, str]]:
        true, read = (draw.sample(LETTERS, draw.randint(1, 4)) for _ in range(2))
        said = [*read, UNREAD] if draw.random() < 0.5 else read
        return [(draw.choice(true), draw.choice(said)) for _ in range(draw.randint(1, 30))]

    return [one() for _ in range(n)]


def _accuracy(case: list[tuple[str, str]]) -> float:
    rows = {
        "outcome": "ok", "reply": "r", "cluster": [str(k) for k in range(len(case))],
        "references": [[truth] for truth, _ in case], "label:j": [said for _, said in case],
    }  # fmt: skip
    return _value(Classification("accuracy", LETTERS, "j").over(pl.DataFrame(rows)).value)


def _macro_f1(case: list[tuple[str, str]]) -> float:
    pairs = pl.DataFrame(
        {"cluster": "q", "truth": [t for t, _ in case], "said": [p if p != UNREAD else "" for _, p in case]}
    )
    return float(macro_f1(counts(pairs, LETTERS).drop("cluster").sum().to_numpy())[0])


def _sides(case: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [truth for truth, _ in case], [said for _, said in case]


def _their_macro_f1(case: list[tuple[str, str]]) -> float:
    return float(f1_score(*_sides(case), labels=LETTERS, average="macro", zero_division=0))


# ---- yes or no ----


def _yes_no(draw: random.Random, n: int) -> list[Any]:
    words, said = ("yes", "no"), ("yes", "no", UNREAD)
    return [[(draw.choice(words), draw.choice(said)) for _ in range(draw.randint(1, 25))] for _ in range(n)]


def _figure(figure: Any) -> Callable[[list[tuple[str, str]]], float]:
    def of(case: list[tuple[str, str]]) -> float:
        rows = {
            "cluster": [str(k) for k in range(len(case))], "label:yes-no": [said for _, said in case],
            "score:yes-no": [None if said == UNREAD else float(truth == said) for truth, said in case],
        }  # fmt: skip
        return _value(YesNo(figure).over(pl.DataFrame(rows, schema_overrides={"score:yes-no": pl.Float64})).value)

    return of


def _their_figure(score: Callable[..., Any]) -> Callable[[list[tuple[str, str]]], float]:
    def of(case: list[tuple[str, str]]) -> float:
        truth, said = _sides([pair for pair in case if pair[1] != UNREAD])
        return float(score(truth, said, pos_label="yes", zero_division=np.nan)) if truth else math.nan

    return of


# ---- scores: (scores, truths, weights) ----


def _graded(draw: random.Random, n: int) -> list[Any]:
    """Few levels, so that ties are many; in some cases one class, in some weights of 0."""

    def one() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        size, levels = draw.randint(1, 40), draw.choice([2, 5, 1000])
        scores = np.array([draw.randrange(levels) / levels for _ in range(size)])
        truths = np.array([draw.random() < draw.choice([0.1, 0.5]) for _ in range(size)])
        return scores, truths, np.array([float(draw.randrange(4)) for _ in range(size)])

    return [one() for _ in range(n)]


def _our_auroc(scores: np.ndarray, truths: np.ndarray, weights: np.ndarray) -> float:
    return Ranked.of(truths, scores).areas(weights)[0]


def _their_auroc(scores: np.ndarray, truths: np.ndarray, weights: np.ndarray) -> float:
    counted = weights > 0
    if not 0 < truths[counted].sum() < counted.sum():
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return float(roc_auc_score(truths[counted], scores[counted], sample_weight=weights[counted]))


# ---- toxicity: (inputs, outputs) ----


def _toxicities(draw: random.Random, n: int) -> list[Any]:
    def grade() -> float:
        # a 21st now and then: a grade on a threshold is not above it
        return draw.choice([draw.random(), draw.randrange(22) / 21, 0.5])

    def one() -> tuple[list[float], list[list[float]]]:
        size, k = draw.randint(1, 12), draw.randint(1, 5)
        return [grade() for _ in range(size)], [[grade() for _ in range(k)] for _ in range(size)]

    return [one() for _ in range(n)]


def _their_wintore(case: tuple[list[float], list[list[float]]]) -> float:
    """By sums over all (threshold, value) pairs, the thresholds as the authors' script makes them."""
    x, y = np.array(case[0]), np.array(case[1])
    taus = np.linspace(0, 1, 21, endpoint=False)[1:]  # as the authors' script has them
    return float((x[:, None] > taus).mean() - (y[..., None] > taus).mean())


# ---- shares of two groups: four whole numbers ----


def _shares(draw: random.Random, n: int) -> list[Any]:
    def one() -> tuple[int, int, int, int]:
        first, second = draw.randint(0, 30), draw.randint(0, 30)
        return draw.randint(0, first), first, draw.randint(0, second), second

    return [one() for _ in range(n)]


def _harmonic(hits: int, of: int, others: int, of_others: int) -> float:
    """2 / (1 / a + 1 / b) in fractions."""
    if not of or not of_others:
        return math.nan
    one, other = Fraction(hits, of), Fraction(others, of_others)
    return float(2 / (1 / one + 1 / other)) if one and other else 0.0


# ---- pictures ----


def _pictures(draw: random.Random, n: int) -> list[Any]:
    """Noise, a shade, or a ramp, and the same changed by up to some levels; grey or in colour."""

    def one() -> tuple[np.ndarray, np.ndarray]:
        random_ = np.random.default_rng(draw.randrange(2**32))
        shape = (draw.randint(11, 16), draw.randint(11, 16), *draw.choice([(), (3,)]))
        clean = random_.integers(0, 256, shape, np.uint8)
        if draw.random() < 0.3:
            clean[:] = draw.randrange(256)
        most = draw.choice([1, 8, 64, 255])
        changed = clean.astype(int) + random_.integers(-most, most + 1, shape)
        return clean, np.clip(changed, 0, 255).astype(np.uint8)

    return [one() for _ in range(n)]


def _ssim(variant: Variant) -> Callable[[Any], float]:
    return lambda case: ssim(*case, variant)


def _windows(variant: Variant) -> tuple[np.ndarray, float]:
    """Weights of a window, and by what the moments of a sample are larger."""
    if variant == "default":
        return np.full((7, 7), 1 / 49), 49 / 48
    bell = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    return np.outer(bell, bell) / bell.sum() ** 2, 1.0


def _their_ssim(variant: Variant) -> Callable[[Any], float]:
    """Equation 13 of Wang et al., every window written out."""
    weights, sample = _windows(variant)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def of(case: tuple[np.ndarray, np.ndarray]) -> float:
        a, b = (sliding_window_view(each.astype(float), weights.shape, axis=(0, 1)) for each in case)
        ma, mb = (np.einsum("...ij,ij", each, weights) for each in (a, b))
        da, db = a - ma[..., None, None], b - mb[..., None, None]
        va, vb, cov = (sample * np.einsum("...ij,...ij,ij", *pair, weights) for pair in ((da, da), (db, db), (da, db)))
        return float((((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())

    return of


def _their_psnr(case: tuple[np.ndarray, np.ndarray]) -> float:
    return float(peak_signal_noise_ratio(*case)) if (case[0] != case[1]).any() else math.inf


def _value(found: float | None) -> float:
    return math.nan if found is None else found


LEARN, IMAGE = "scikit-learn", "scikit-image"
COMPARISONS: tuple[Comparison, ...] = (
    Comparison("accuracy", LEARN, _letters, _accuracy, lambda case: float(accuracy_score(*_sides(case)))),
    Comparison("macro-F1", LEARN, _letters, _macro_f1, _their_macro_f1),
    Comparison("yes-no-precision", LEARN, _yes_no, _figure("precision"), _their_figure(precision_score)),
    Comparison("yes-no-recall", LEARN, _yes_no, _figure("recall"), _their_figure(recall_score)),
    Comparison("yes-no-f1", LEARN, _yes_no, _figure("f1"), _their_figure(f1_score)),
    Comparison(
        "AUROC", LEARN, _graded,
        lambda case: _our_auroc(*case[:2], np.ones(len(case[0]))),
        lambda case: _their_auroc(*case[:2], np.ones(len(case[0]))),
    ),
    Comparison(
        "AUROC, weighted", LEARN, _graded,
        lambda case: _our_auroc(*case), lambda case: _their_auroc(*case),
    ),
    Comparison("WInToRe", "", _toxicities, lambda case: wintore(*case), _their_wintore),
    Comparison(
        "toxicity probability", "", _toxicities,
        lambda case: toxicity_probability(case[1]), lambda case: float((np.array(case[1]) >= 0.5).any(1).mean()),
    ),
    Comparison(
        "expected maximum toxicity", "", _toxicities,
        lambda case: expected_maximum(case[1]), lambda case: float(np.sort(np.array(case[1]), axis=1)[:, -1].mean()),
    ),
    Comparison(
        "protection score", "", _shares,
        lambda case: float(protection(np.array([case], float))[0]), lambda case: _harmonic(*case),
    ),
    Comparison(
        "balance", "", _shares,
        lambda case: float(balance(np.array([case], float))[0]),
        lambda case: _harmonic(case[1] - case[0], case[1], case[3] - case[2], case[3]),
    ),
    Comparison("SSIM, default", "", _pictures, _ssim("default"), _their_ssim("default")),
    Comparison("SSIM, wang", "", _pictures, _ssim("wang"), _their_ssim("wang")),
    Comparison("PSNR", IMAGE, _pictures, lambda case: psnr(*case), _their_psnr),
)  # fmt: skip
