"""How alike two pictures look: the structural similarity index (Wang et al. 2004), used by Fu et al. 2023."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from proofglass.types import Image

WINDOW = 11


def similarity(one: Image, other: Image) -> float:
    """SSIM of two 8-bit pictures of one size, in [-1, 1]; 1 for equal ones."""
    return ssim(one.array() / 255, other.array() / 255)


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity of two pictures, float [H, W, C] in [0, 1]: a number in [-1, 1], 1 for equal ones.

    scikit-image's, as Wang et al. define it: 11 x 11 Gaussian window of standard deviation 1.5, only where it lies
    inside the picture; biased local moments; K = (0.01, 0.03), dynamic range 1; the mean over places, then over
    channels. Fu et al. do not say which variant they use.
    Raises ValueError if the shapes differ or the pictures are smaller than the window.
    Source: Wang, Bovik, Sheikh & Simoncelli 2004, equation 13.
    """
    import numpy as np
    from skimage.metrics import structural_similarity

    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if one.shape != other.shape or one.ndim != 3:
        raise ValueError(f"ssim: expected two pictures [H, W, C] of one shape, found {one.shape} and {other.shape}")
    if min(one.shape[:2]) < WINDOW:
        raise ValueError(f"ssim: expected pictures of at least {WINDOW} x {WINDOW} pixels, found {one.shape[:2]}")
    alike: Callable[..., Any] = structural_similarity
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(alike(one, other, data_range=1, channel_axis=-1, **window))
