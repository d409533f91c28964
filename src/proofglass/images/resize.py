"""Pillow's 8-bit resize as a differentiable function: equal to it on every 8-bit picture, to the last level.

Pillow resamples in two passes, width and height (in which order: `_height_first`). Each pass multiplies 8-bit levels
by weights in fixed point (22 bits), rounds half up and clamps to 0..255. `passes.py` does the same in float64, in which
all sums are exact, with gradient; where none is wanted Pillow itself is called.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from proofglass.images.passes import ONE, Bands, banded, resampled, strips

if TYPE_CHECKING:
    import numpy as np
    import torch

NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING = range(6)  # as Pillow numbers them
SNAP = 1e-4  # float32 pixels of an 8-bit picture lie this close to their levels


def resize(pixels: torch.Tensor, size: tuple[int, int], resample: int = BICUBIC, rounded: bool = True) -> torch.Tensor:
    """`pixels` [..., H, W], float in [0, 1], with gradient, or 8-bit levels (uint8), at `size` (height, width), in the
    same dtype.

    resample: Pillow's number of the filter. rounded: False leaves out rounding (not clamping), for finite differences.
    Beside input and result this holds little: strips of some MiB and, between two passes, a byte or two per value.
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
    if pixels.dtype == torch.uint8:
        return _by_pillow(pixels, height, width, resample)
    wanted = pixels.requires_grad and torch.is_grad_enabled()
    if rounded and not wanted and pixels.device.type == "cpu" and (levels := _eight_bit(pixels)) is not None:
        return (_by_pillow(levels, height, width, resample).double() / 255).to(pixels.dtype)
    return resampled(
        pixels,
        _passes(pixels.shape[-2], pixels.shape[-1], height, width, resample),
        _levels if rounded else _scaled,
        rounded,
    )


def matrix(old: int, new: int, resample: int) -> np.ndarray:
    """One pass of the resize as it would be without rounding, float64 [new, old]: what each new pixel takes of each old
    one. Raises ValueError for an unknown filter or an empty side."""
    import numpy as np

    if resample not in (NEAREST, *_FILTERS):
        raise ValueError(f"resample: expected one of Pillow's filters, 0 to 5, found {resample}")
    if min(old, new) < 1:
        raise ValueError(f"size: expected at least 1 pixel, found {old} and {new}")
    found = np.zeros((new, old))
    if old == new:
        np.fill_diagonal(found, 1)
    elif resample == NEAREST:
        found[np.arange(new), _nearest(old, new)] = 1
    else:
        for band in _weights(old, new, resample):
            found[band.new, band.old] = band.weights.numpy() / ONE
    return found


def _by_pillow(levels: torch.Tensor, height: int, width: int, resample: int) -> torch.Tensor:
    """uint8 [..., H, W] resized, plane by plane."""
    import numpy as np
    import torch
    from PIL import Image

    found = np.empty((*levels.shape[:-2], height, width), np.uint8)
    planes = levels.cpu().reshape(-1, *levels.shape[-2:])
    for plane, into in zip(planes, found.reshape(-1, height, width), strict=True):
        into[:] = Image.fromarray(np.ascontiguousarray(plane.numpy())).resize((width, height), resample)
    return torch.from_numpy(found).to(levels.device)


def _eight_bit(pixels: torch.Tensor) -> torch.Tensor | None:
    """Float pixels as levels, uint8, if every one of them is one (`SNAP`); else None."""
    import torch

    flat = pixels.detach().reshape(-1, *pixels.shape[-2:])
    levels = torch.empty(flat.shape, dtype=torch.uint8)
    for at in strips(flat.shape):
        scaled = 255 * flat[at].to(torch.promote_types(flat.dtype, torch.float32))
        nearest = scaled.round()
        # Half the tolerance: float32 adds less than the other half, so this never takes what `_levels` would not.
        if not bool((scaled - nearest).abs().max() < SNAP / 2):
            return None
        levels[at] = nearest.to(torch.uint8)
    return levels.reshape(pixels.shape)


def _levels(pixels: torch.Tensor) -> torch.Tensor:
    """0..255 in float64; values that are a level but for float32's rounding become that level."""
    levels = _scaled(pixels)
    nearest = levels.round()
    return nearest.where((nearest - levels).abs() < SNAP, levels)


def _scaled(pixels: torch.Tensor) -> torch.Tensor:
    return 255 * pixels.double()


def _passes(old_height: int, old_width: int, height: int, width: int, resample: int) -> list[tuple[bool, Bands]]:
    """What Pillow does one after the other: whether it is the height, and its weights."""
    across = [(False, _weights(old_width, width, resample))] if width != old_width else []
    down = [(True, _weights(old_height, height, resample))] if height != old_height else []
    return down + across if _height_first(old_height, old_width, height, width) else across + down


def _height_first(old_height: int, old_width: int, height: int, width: int) -> bool:
    """Pillow 13 resamples the height first where it shrinks by more than twice what the width shrinks by, in pixels;
    Pillow 12 never does (found by trying; the tests compare)."""
    import PIL

    if int(PIL.__version__.partition(".")[0]) < 13 or width == old_width:
        return False
    return height < old_height and old_height - height > 2 * (old_width - width)


@lru_cache(maxsize=64)
def _weights(old: int, new: int, resample: int) -> Bands:
    """Pillow's fixed-point weights of one pass."""
    import numpy as np

    kernel, reach = _FILTERS[resample]
    scale = old / new
    stretch = max(scale, 1.0)
    support = reach * stretch
    rows = []
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
        rows.append((first, np.trunc(found * ONE + np.where(found < 0, -0.5, 0.5))))
    return banded(rows)


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
