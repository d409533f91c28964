"""How far several answers to one question lie apart: the divergence of JailGuard (Zhang et al. 2025)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from proofglass.interfaces import Encoder

if TYPE_CHECKING:
    import numpy as np

LEAST, MOST = 0.01, 100.0  # the least similarity, the largest divergence


def similarities(texts: Sequence[str], encoder: Encoder | None = None) -> np.ndarray:
    """float [n, n]: cosines of the texts, of their word counts, or of their features in `encoder`.

    Two texts without a word are alike, one with and one without have nothing in common."""
    import numpy as np

    if encoder is None:
        counts = [Counter(re.findall(r"\w+", text.casefold())) for text in texts]
        return np.array([[_cosine(one, other) for other in counts] for one in counts])
    worded = [k for k, text in enumerate(texts) if text.strip()]
    found = np.eye(len(texts))
    blank = [k for k in range(len(texts)) if k not in worded]
    found[np.ix_(blank, blank)] = 1.0
    if worded:
        features = encoder.text_features([texts[k] for k in worded]).double().cpu().numpy()
        features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        found[np.ix_(worded, worded)] = features @ features.T
    return found


def divergences(similarity: np.ndarray) -> np.ndarray:
    """float [n, n]: D_ij = sum over k of P_ik log(P_ik / P_jk), where P_i are the similarities of text i to all, as
    shares. Not symmetric.

    Raises ValueError for similarities that are no finite numbers."""
    import numpy as np

    if not np.isfinite(similarity).all():
        raise ValueError("similarity: expected finite numbers, found some that are not")
    kept = np.maximum(similarity, LEAST)
    shares = kept / kept.sum(1, keepdims=True)
    logs = np.log(shares)
    own = (shares * logs).sum(1)
    found: np.ndarray = np.minimum(own[:, None] - shares @ logs.T, MOST)
    return found


def _cosine(one: Counter[str], other: Counter[str]) -> float:
    if not one or not other:
        return float(not one and not other)
    dot = sum(count * other[word] for word, count in one.items())
    return dot / math.sqrt(sum(n * n for n in one.values()) * sum(n * n for n in other.values()))
