"""How much two pictures differ: SSIM, PSNR, and the two norms that attacks are bounded by. 8-bit pictures in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

Variant = Literal["default", "wang"]
WINDOWS: dict[Variant, int] = {"default": 7, "wang": 11}
LEVELS = 255


def ssim(one: np.ndarray, other: np.ndarray, variant: Variant = "wang") -> float:
    """Structural similarity of two pictures, uint8 [H, W] or [H, W, C]: -1..1, 1 for equal ones; by channel, then mean.

    scikit-image's. variant: "wang", as Wang et al. define it (11 x 11 Gaussian window of standard deviation 1.5, biased
    moments), or "default" (7 x 7 uniform window, sample covariance). K = (0.01, 0.03), dynamic range 255, only where
    the window lies inside the picture. Raises ValueError for pictures of two shapes, or smaller than the window.
    Source: Wang, Bovik, Sheikh & Simoncelli 2004, equation 13.
    """
    from skimage.metrics import structural_similarity

    one, other = checked(one, other, "ssim")
    if variant not in WINDOWS:
        raise ValueError(f"variant: expected default or wang, found {variant!r}")
    if min(one.shape[:2]) < WINDOWS[variant]:
        size = WINDOWS[variant]
        raise ValueError(f"ssim: expected pictures of at least {size} x {size} pixels, found {one.shape[:2]}")
    alike: Callable[..., Any] = structural_similarity
    window: dict[str, Any] = {"win_size": WINDOWS["default"]}
    if variant == "wang":
        window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    axis = -1 if one.ndim == 3 else None
    found = float(alike(one, other, data_range=LEVELS, channel_axis=axis, **window))
    return min(max(found, -1.0), 1.0)  # rounding may leave the range


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio in decibels, 20 log10(255 / root of the mean squared difference): infinite for equal
    pictures. Equal to scikit-image's `peak_signal_noise_ratio`. Raises ValueError for pictures of two shapes."""
    from math import inf, log10

    one, other = checked(one, other, "psnr")
    error = float(((_signed(one) - _signed(other)) ** 2).mean())
    return 10 * log10(LEVELS**2 / error) if error else inf


def linf(one: np.ndarray, other: np.ndarray) -> float:
    """Largest change of any channel of any pixel, in levels: 0..255. Raises ValueError for pictures of two shapes."""
    one, other = checked(one, other, "linf")
    return float(abs(_signed(one) - _signed(other)).max())


def l2(one: np.ndarray, other: np.ndarray) -> float:
    """Euclidean length of the change over all channels of all pixels, in levels. Raises ValueError for pictures of two
    shapes."""
    one, other = checked(one, other, "l2")
    return float(((_signed(one) - _signed(other)) ** 2).sum() ** 0.5)


def checked(one: np.ndarray, other: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Both, as arrays. Raises ValueError for what is no 8-bit picture, two shapes, or a picture without pixels."""
    import numpy as np

    one, other = np.asarray(one), np.asarray(other)
    if one.dtype != np.uint8 or other.dtype != np.uint8:
        raise ValueError(f"{what}: expected 8-bit pictures (uint8), found {one.dtype} and {other.dtype}")
    if one.shape != other.shape or one.ndim not in (2, 3) or not one.size:
        raise ValueError(f"{what}: expected two pictures [H, W, C] of one shape, found {one.shape} and {other.shape}")
    return one, other


def _signed(picture: np.ndarray) -> np.ndarray:
    """In float64: differences of uint8 would wrap round."""
    import numpy as np

    return picture.astype(np.float64)
