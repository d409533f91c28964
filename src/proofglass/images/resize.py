"""Pillow's 8-bit resize as a differentiable function: equal to it on every 8-bit picture, to the last level.

Pillow resamples in two passes, width and height (in which order: `_height_first`). Each pass multiplies 8-bit levels
by weights in fixed point (22 bits), rounds half up and clamps to 0..255. Here a pass is one product with a matrix of
those weights in float64, in which all sums are exact. The slope of rounding is taken as 1 (straight-through), that of
clamping as it is.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING = range(6)  # as Pillow numbers them
BITS = 22
SNAP = 1e-4  # float32 pixels of an 8-bit picture lie this close to their levels


def resize(pixels: torch.Tensor, size: tuple[int, int], resample: int = BICUBIC, rounded: bool = True) -> torch.Tensor:
    """`pixels`, float [..., H, W] in [0, 1], at `size` (height, width), with gradient and in the same dtype.

    resample: Pillow's number of the filter. rounded: False leaves out rounding (not clamping), for finite differences.
    Raises ValueError for an unknown filter or an empty size.
    """
    import torch

    if not 0 <= resample <= 5:
        raise ValueError(f"resample: expected one of Pillow's filters, 0 to 5, found {resample}")
    if min(size) < 1:
        raise ValueError(f"size: expected at least 1 x 1, found {size[0]} x {size[1]}")
    height, width = (int(side) for side in size)
    if (height, width) == tuple(pixels.shape[-2:]):
        return pixels
    if resample == NEAREST:
        rows, columns = (_nearest(n, m) for n, m in zip(pixels.shape[-2:], (height, width), strict=True))
        return pixels[..., torch.tensor(rows, device=pixels.device), :][
            ..., torch.tensor(columns, device=pixels.device)
        ]
    levels = _levels(pixels) if rounded else 255 * pixels.double()
    first = _height_first(pixels.shape[-2], pixels.shape[-1], height, width)
    if first:
        levels = _pass(levels.mT, _weights(pixels.shape[-2], height, resample), rounded).mT
    if width != pixels.shape[-1]:
        levels = _pass(levels, _weights(pixels.shape[-1], width, resample), rounded)
    if height != pixels.shape[-2] and not first:
        levels = _pass(levels.mT, _weights(pixels.shape[-2], height, resample), rounded).mT
    return (levels / 255).to(pixels.dtype)


def _height_first(old_height: int, old_width: int, height: int, width: int) -> bool:
    """Pillow 13 resamples the height first where it shrinks by more than twice what the width shrinks by, in pixels;
    Pillow 12 never does (found by trying; the tests compare)."""
    import PIL

    if int(PIL.__version__.partition(".")[0]) < 13 or width == old_width:
        return False
    return height < old_height and old_height - height > 2 * (old_width - width)


def _levels(pixels: torch.Tensor) -> torch.Tensor:
    """0..255 in float64; values that are a level but for float32's rounding become that level."""
    levels = 255 * pixels.double()
    nearest = levels.detach().round()
    return levels + (nearest - levels.detach()) * ((nearest - levels.detach()).abs() < SNAP)


def _pass(levels: torch.Tensor, weights: torch.Tensor, rounded: bool) -> torch.Tensor:
    """Resample the last dimension. weights: integers of 2^-22, float64 [new, old]."""
    weights = weights.to(levels.device)
    sums = levels @ weights.T
    smooth = (sums / 2**BITS).clamp(0, 255)
    if not rounded:
        return smooth
    exact = ((sums.detach() + 2 ** (BITS - 1)) / 2**BITS).floor().clamp(0, 255)
    return smooth + (exact - smooth.detach())


@lru_cache(maxsize=64)
def _weights(old: int, new: int, resample: int) -> torch.Tensor:
    """Pillow's fixed-point weights of one pass, float64 [new, old]."""
    import numpy as np
    import torch

    kernel, reach = _FILTERS[resample]
    scale = old / new
    stretch = max(scale, 1.0)
    support = reach * stretch
    table = np.zeros((new, old))
    for place in range(new):
        centre = (place + 0.5) * scale
        first = max(int(centre - support + 0.5), 0)
        last = min(int(centre + support + 0.5), old)
        found = np.array([kernel((k - centre + 0.5) * (1.0 / stretch)) for k in range(first, last)])
        total = 0.0
        for value in found:  # in Pillow's order of addition
            total += value
        if total != 0:
            found = found * (1.0 / total)
        table[place, first:last] = np.trunc(found * 2**BITS + np.where(found < 0, -0.5, 0.5))
    return torch.from_numpy(table)


def _nearest(old: int, new: int) -> list[int]:
    scale = old / new
    place, found = 0.5 * scale, []
    for _ in range(new):  # summed up, as Pillow does: the last bits decide
        found.append(min(int(place), old - 1))
        place += scale
    return found


def _triangle(x: float) -> float:
    x = abs(x)
    return 1 - x if x < 1 else 0.0


def _cubic(x: float) -> float:
    a = -0.5
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3 <= x < 3 else 0.0


def _box(x: float) -> float:
    return 1.0 if -0.5 < x <= 0.5 else 0.0


FLAT, WAVE = float.fromhex("0x1.147ae2p-1"), float.fromhex("0x1.d70a3ep-2")  # 0.54 and 0.46 in float32, as Pillow has


def _hamming(x: float) -> float:
    x = abs(x) * math.pi
    return math.sin(x) / x * (FLAT + WAVE * math.cos(x)) if 0 < x < math.pi else float(x == 0)


_FILTERS = {
    LANCZOS: (_lanczos, 3.0),
    BILINEAR: (_triangle, 1.0),
    BICUBIC: (_cubic, 2.0),
    BOX: (_box, 0.5),
    HAMMING: (_hamming, 1.0),
}
