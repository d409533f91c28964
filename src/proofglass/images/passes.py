"""One pass of a resize: the last dimension of 8-bit levels by integer weights, with gradient, in bounded memory.

A new pixel depends on few old ones that stand together, so weights are kept as bands (blocks of new pixels with the
range of old ones that they see), and pictures are worked on in strips. The slope of rounding is taken as 1
(straight-through), that of clamping as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import torch

ONE = 2**22  # a weight of 1 in Pillow's fixed point
BLOCK = 32  # new pixels of a band
STRIP = 2**19  # values of a strip: 4 MiB in float64


class Band(NamedTuple):
    """weights: integers of 2^-22, float64 [new, old], of the new pixels `new` and the old pixels `old`."""

    new: slice
    old: slice
    weights: torch.Tensor


Bands = tuple[Band, ...]


def banded(rows: Sequence[tuple[int, np.ndarray]]) -> Bands:
    """rows: per new pixel the first old one that it sees, and the weights from there on."""
    import torch

    found = []
    for at in range(0, len(rows), BLOCK):
        block = rows[at : at + BLOCK]
        first = min(start for start, _ in block)
        last = max(start + len(weights) for start, weights in block)
        table = torch.zeros(len(block), last - first, dtype=torch.float64)
        for row, (start, weights) in zip(table, block, strict=True):
            row[start - first : start - first + len(weights)] = torch.from_numpy(weights)
        found.append(Band(slice(at, at + len(block)), slice(first, last), table))
    return tuple(found)


def strips(shape: Sequence[int], longest: int = 0) -> Iterator[tuple[slice, slice]]:
    """Parts of [M, R, C] by their first two dimensions: whole matrices where they are small, else rows of one. longest:
    what a row becomes, if longer than C."""
    many, rows, columns = shape
    height = min(rows, max(1, STRIP // max(columns, longest, 1)))
    together = max(1, STRIP // max(1, rows * max(columns, longest))) if height == rows else 1
    for first in range(0, many, together):
        for top in range(0, rows, height):
            yield slice(first, first + together), slice(top, top + height)


def resampled(
    pixels: torch.Tensor,
    passes: Sequence[tuple[bool, Bands]],
    read: Callable[[torch.Tensor], torch.Tensor],
    rounded: bool,
) -> torch.Tensor:
    """`pixels` [..., H, W] after `passes` (whether of the height, weights), in their dtype, with gradient.

    read: pixels as levels, float64. rounded: to levels after each pass.
    """
    height, width = pixels.shape[-2:]
    for is_height, bands in passes:
        height, width = (bands[-1].new.stop, width) if is_height else (height, bands[-1].new.stop)
    flat = pixels.reshape(-1, *pixels.shape[-2:])
    found: torch.Tensor = _function().apply(flat, passes, read, rounded).reshape(*pixels.shape[:-2], height, width)
    return found


@lru_cache(maxsize=1)
def _function() -> Any:
    """All passes as one function of torch's, made on first use: importing this loads no torch."""
    import torch

    class Resampled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, pixels: torch.Tensor, passes: Any, read: Any, rounded: bool) -> torch.Tensor:
            ctx.done, ctx.dtype = [], pixels.dtype
            found, remember = pixels, ctx.needs_input_grad[0]
            for is_height, bands in passes:
                before = found.mT if is_height else found
                lying, inside = _forward(before, bands, read, rounded, remember)
                ctx.done.append((is_height, bands, inside, before.shape[-1]))
                found, read = lying.mT if is_height else lying, torch.Tensor.double
            return (found.double() / 255).to(pixels.dtype)

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> Any:
            back = grad.double() / 255
            for k, (is_height, bands, inside, old) in reversed(list(enumerate(ctx.done))):
                # The first pass gives the largest gradient: it goes to its own dtype strip by strip.
                scale, dtype = (1, torch.float64) if k else (255, ctx.dtype)
                lying = _backward(back.mT if is_height else back, bands, inside, old, scale, dtype)
                back = lying.mT if is_height else lying
            return back, None, None, None

    return Resampled


def _forward(
    lying: torch.Tensor, bands: Bands, read: Callable[[torch.Tensor], torch.Tensor], rounded: bool, remember: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Levels [M, R, old] -> [M, R, new], uint8 if rounded, else float64; remember: also where nothing was clamped,
    bool."""
    import torch

    shape = (*lying.shape[:2], bands[-1].new.stop)
    found = torch.empty(shape, dtype=torch.uint8 if rounded else torch.float64, device=lying.device)
    inside = torch.empty(shape, dtype=torch.bool, device=lying.device) if remember else None
    for at in strips(lying.shape, shape[-1]):
        levels = read(lying[at])
        for band in bands:
            sums = levels[..., band.old] @ band.weights.to(levels.device).T
            if inside is not None:
                inside[(*at, band.new)] = (sums >= 0) & (sums <= 255 * ONE)
            if rounded:
                sums = (sums + ONE / 2).div_(ONE).floor_()
            else:
                sums = sums / ONE
            found[(*at, band.new)] = sums.clamp_(0, 255).to(found.dtype)
    return found, inside


def _backward(
    grad: torch.Tensor, bands: Bands, inside: torch.Tensor, old: int, scale: int, dtype: torch.dtype
) -> torch.Tensor:
    """Gradient to what `_forward` read, times `scale`: [M, R, new] -> [M, R, old]."""
    import torch

    found = torch.empty(*grad.shape[:2], old, dtype=dtype, device=grad.device)
    for at in strips(grad.shape, old):
        flowing = grad[at] * inside[at] / ONE
        back = torch.zeros(*flowing.shape[:2], old, dtype=torch.float64, device=grad.device)
        for band in bands:
            back[..., band.old] += flowing[..., band.new] @ band.weights.to(back.device)
        found[at] = (scale * back).to(dtype)
    return found
