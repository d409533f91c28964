"""How alike two pictures look: the structural similarity index (Wang et al. 2004), used by Fu et al. 2023."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from proofglass.types import Image

WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03


def similarity(one: Image, other: Image) -> float:
    """SSIM of two 8-bit pictures of one size, in [-1, 1]; 1 for equal ones."""
    return ssim(one.array() / 255, other.array() / 255)


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity of two pictures, float [H, W, C] in [0, 1]: a number in [-1, 1], 1 for equal ones.

    11 x 11 Gaussian window of standard deviation 1.5, only where it lies inside the picture; K = (0.01, 0.03), dynamic
    range 1; the mean over places, then over channels. Symmetric. Fu et al. do not say which variant they use.
    Raises ValueError if the shapes differ or the pictures are smaller than the window.
    Source: Wang, Bovik, Sheikh & Simoncelli 2004, equation 13 (biased local moments, as there).
    """
    import numpy as np

    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if one.shape != other.shape or one.ndim != 3:
        raise ValueError(f"ssim: expected two pictures [H, W, C] of one shape, found {one.shape} and {other.shape}")
    if min(one.shape[:2]) < WINDOW:
        raise ValueError(f"ssim: expected pictures of at least {WINDOW} x {WINDOW} pixels, found {one.shape[:2]}")
    mean_one, mean_other = _smooth(one), _smooth(other)
    spread_one = _smooth(one * one) - mean_one**2
    spread_other = _smooth(other * other) - mean_other**2
    shared = _smooth(one * other) - mean_one * mean_other
    c1, c2 = K1**2, K2**2
    light = (2 * mean_one * mean_other + c1) / (mean_one**2 + mean_other**2 + c1)
    structure = (2 * shared + c2) / (spread_one + spread_other + c2)
    return float((light * structure).mean(axis=(0, 1)).mean())


def _smooth(picture: np.ndarray) -> np.ndarray:
    """Gaussian means over all windows inside the picture: [H - 10, W - 10, C]. Separable: rows, then columns."""
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view

    places = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(places**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    return sliding_window_view(sliding_window_view(picture, WINDOW, 0) @ weights, WINDOW, 1) @ weights
