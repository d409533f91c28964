"""The weights of a learned judge: one linear form per head over words and cues, and what probability it stands for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.digests import digest_of
from proofglass.evaluation.judges.learned.features import BITS, Features
from proofglass.interfaces import Calibration, Measured

if TYPE_CHECKING:
    import numpy as np

WEIGHTS = Path(__file__).parent / "weights"
LEARNED_FROM = ("msts", "xstest")  # label sets


@dataclass(frozen=True)
class LearnedModel:
    """heads: their names; known: bool [2**BITS], what was seen in training; buckets: float32 [2**BITS, h]; cues:
    float32 [c, h]; bias: float32 [h]."""

    heads: tuple[str, ...]
    known: np.ndarray
    buckets: np.ndarray
    cues: np.ndarray
    bias: np.ndarray

    def probabilities(self, features: Features) -> dict[str, np.ndarray]:
        """Head -> float64 [n] in (0, 1)."""
        import numpy as np

        seen, found = features.known(self.known), {}
        for k, head in enumerate(self.heads):
            form = seen.dot(self.buckets[:, k], self.cues[:, k]) + self.bias[k]
            found[head] = 1 / (1 + np.exp(-np.clip(form, -30, 30)))
        return found


def path_of(name: str) -> Path:
    """The weights `name` of this package; its card lies beside it."""
    return WEIGHTS / f"{name}.safetensors"


def load(name: str) -> LearnedModel:
    """The model `name`, read once a process, and again when its file has changed."""
    return _load(name, digest_of(path_of(name)))


@cache
def _load(name: str, digest: str) -> LearnedModel:
    import numpy as np
    from safetensors import safe_open

    with safe_open(path_of(name), "np") as file:
        heads = tuple(json.loads(file.metadata()["heads"]))
        kept, weights = file.get_tensor("buckets"), file.get_tensor("weights")
        cues, bias = file.get_tensor("cues"), file.get_tensor("bias")
    # Fortran order: a head is one block of memory.
    buckets = np.zeros((1 << BITS, len(heads)), np.float32, order="F")
    buckets[kept] = weights
    known = np.zeros(1 << BITS, bool)
    known[kept] = True
    return LearnedModel(heads, known, buckets, cues.astype(np.float32), bias)


def save(
    name: str, heads: Sequence[str], kept: np.ndarray, weights: np.ndarray, cues: np.ndarray, bias: np.ndarray
) -> None:
    """Write the weights `name`: kept int32 [m] buckets, weights [m, h], cues [c, h], bias [h]."""
    import numpy as np
    from safetensors.numpy import save_file

    WEIGHTS.mkdir(exist_ok=True)
    tensors: dict[str, np.ndarray] = {
        "buckets": kept.astype(np.int32),
        "weights": weights.astype(np.float16),
        "cues": cues.astype(np.float16),
        "bias": bias.astype(np.float32),
    }
    save_file(tensors, path_of(name), {"heads": json.dumps(list(heads))})
    path_of(name).chmod(0o644)  # safetensors writes for its owner alone


@cache
def card_of(name: str) -> dict[str, Any]:
    """What the recipe measured: the card of the weights `name`."""
    found: dict[str, Any] = json.loads(path_of(name).with_suffix(".json").read_text(encoding="utf-8"))
    return found


@cache
def measured_of(name: str) -> Measured:
    """The card as what stands beside every figure of the judge."""
    told = card_of(name)
    found = tuple(Calibration(**row) for row in told["calibration"])
    return Measured(told["agreement"], told["data"], told["source"], found, LEARNED_FROM)
