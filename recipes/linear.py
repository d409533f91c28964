"""Logistic regression on hashed replies: the fit of the judges' recipe, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from proofglass.evaluation.judges.learned.features import BITS, Features

SEEN = 2  # training replies in which a bucket must occur to get a weight
STEPS = 300


@dataclass(frozen=True)
class Linear:
    """known: bool [2**BITS], buckets: float64 [2**BITS], cues: float64 [c], bias: the linear form of one head."""

    known: np.ndarray
    buckets: np.ndarray
    cues: np.ndarray
    bias: float

    def __call__(self, features: Features) -> np.ndarray:
        """float64 [n]: log-odds."""
        return features.known(self.known).dot(self.buckets, self.cues) + self.bias


def picked(features: Features, rows: np.ndarray) -> Features:
    """Some replies of a batch; rows: int [m], increasing."""
    place = np.full(features.n, -1)
    place[rows] = np.arange(len(rows))
    kept = place[features.row] >= 0
    return Features(
        place[features.row[kept]], features.bucket[kept], features.value[kept], features.view[kept], features.cues[rows]
    )


def known_in(features: Features, rows: np.ndarray) -> np.ndarray:
    """bool [2**BITS]: the buckets that get a weight when these replies are trained on."""
    return np.bincount(picked(features, rows).bucket, minlength=1 << BITS) >= SEEN


def fit(features: Features, target: np.ndarray, weight: np.ndarray, strength: float, known: np.ndarray) -> Linear:
    """Minimise |w|^2 / 2 + strength * sum_i weight_i * log-loss_i by L-BFGS; the bias is not held small.

    target: float [n] in 0..1; weight: float [n]; known: bool [2**BITS], the buckets that get a weight.
    """
    seen, kept = features.known(known), np.flatnonzero(known)
    column = np.cumsum(known) - 1
    words, turned = _both_ways(seen.row, column[seen.bucket], seen.value, (seen.n, len(kept)))
    cues = torch.tensor(features.cues, dtype=torch.float64)
    wanted, heavy = torch.tensor(target, dtype=torch.float64), torch.tensor(weight, dtype=torch.float64)
    parts = [torch.zeros(size, dtype=torch.float64) for size in (len(kept), cues.shape[1], 1)]
    solver = torch.optim.LBFGS(
        parts,
        max_iter=STEPS,
        history_size=20,
        tolerance_grad=1e-3,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        form = words @ parts[0] + cues @ parts[1] + parts[2]
        each = torch.nn.functional.binary_cross_entropy_with_logits(form, wanted, reduction="none")
        # The gradient by hand: a transposed matrix is five times as fast as what autograd makes of a sparse one.
        slope = strength * heavy * (torch.sigmoid(form) - wanted)
        parts[0].grad, parts[1].grad = parts[0] + turned @ slope, parts[1] + cues.T @ slope
        parts[2].grad = slope.sum()[None]
        return (parts[0].square().sum() + parts[1].square().sum()) / 2 + strength * (heavy * each).sum()

    solver.step(loss)
    buckets = np.zeros(1 << BITS)
    buckets[kept] = parts[0].numpy()
    return Linear(known, buckets, parts[1].numpy(), float(parts[2]))


def _both_ways(
    row: np.ndarray, column: np.ndarray, value: np.ndarray, shape: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sparse matrix with these entries, and its transpose, by rows."""
    index, values = torch.tensor(np.stack([row, column])), torch.tensor(value)
    made = torch.sparse_coo_tensor(index, values, shape, check_invariants=True).coalesce()
    return made.to_sparse_csr(), made.t().coalesce().to_sparse_csr()
