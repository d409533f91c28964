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
    index, values = torch.tensor(np.stack([seen.row, column[seen.bucket]])), torch.tensor(seen.value)
    words = torch.sparse_coo_tensor(index, values, (seen.n, len(kept)), check_invariants=True).coalesce()
    cues = torch.tensor(features.cues, dtype=torch.float64)
    wanted, heavy = torch.tensor(target, dtype=torch.float64), torch.tensor(weight, dtype=torch.float64)
    parts = [torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in (len(kept), cues.shape[1], 1)]
    solver = torch.optim.LBFGS(
        parts, max_iter=STEPS, tolerance_grad=1e-5, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        solver.zero_grad()
        form = torch.mv(words, parts[0]) + cues @ parts[1] + parts[2]
        each = torch.nn.functional.binary_cross_entropy_with_logits(form, wanted, reduction="none")
        value = (parts[0].square().sum() + parts[1].square().sum()) / 2 + strength * (heavy * each).sum()
        value.backward()
        return value

    solver.step(loss)
    buckets = np.zeros(1 << BITS)
    buckets[kept] = parts[0].detach().numpy()
    return Linear(known, buckets, parts[1].detach().numpy(), float(parts[2].detach()))
