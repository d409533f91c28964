"""Phi-4-multimodal's dynamic tiling (Abouelenin et al. 2025, arXiv:2503.01743). Its processor needs torchvision."""

from __future__ import annotations

import platform
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from proofglass.errors import UsageError
from proofglass.victims.hf.twins.base import Twin
from proofglass.victims.hf.twins.tiles import split

MODES = {2: "bilinear", 3: "bicubic"}  # by Pillow's number
WHOLE, NEWLINES, GAP = 256, 16, 1  # tokens of the whole, of its rows' ends and between it and the tiles


class Fit(NamedTuple):
    """How a picture fits its canvas. height, width: at which it lies in the upper left corner; mask: patches that show
    some of it, float32 [rows * m, columns * m] of 0 and 1."""

    height: int
    width: int
    mask: Tensor


class DynamicHD(Twin):
    """A picture keeps its shape, is enlarged until it fills as many tiles as it needs, and is padded with white; then
    the whole canvas, squeezed to one tile, goes in front.

    An attack works on the picture at that size: it needs the same canvas (were a row or column of tiles left empty, a
    smaller canvas would have been closer to its shape), so the processor leaves it alone.
    `values`: image_pixel_values [N, 1 + tiles, 3, s, s], image_sizes [N, 2] of the canvas, image_attention_mask
    [N, 1 + tiles, m, m], num_img_tokens [N].
    """

    def __init__(self, processor: Any) -> None:
        super().__init__(processor)
        if int(processor.resample) not in MODES:
            raise UsageError(f"image processor: resample: expected one of {MODES}, found {processor.resample}")
        self._fits: dict[tuple[int, int], Fit] = {}

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self._fit(height, width)[:2]

    def pixels(self, levels: Tensor) -> Tensor:
        return eight_bit(levels, self.size(*levels.shape[-2:]))

    def values(self, pixels: Tensor, rounded: bool = True) -> dict[str, Tensor]:
        fit, n, side = self._fit(*pixels.shape[-2:]), len(pixels), self.processor.size["height"]
        canvas = self.normalise(self._laid(pixels, fit, rounded))
        whole = canvas
        if canvas.shape[-2:] != (side, side):
            mode = MODES[int(self.processor.resample)]
            whole = F.interpolate(canvas, (side, side), mode=mode, align_corners=False)
        mask = fit.mask.to(pixels)
        patches = side // self.processor.patch_size
        masks = torch.cat([mask.new_ones(1, patches, patches), split(mask[None, None], patches, patches)[0, :, 0]])
        return {
            "image_pixel_values": torch.cat([whole[:, None], split(canvas, side, side)], 1),
            "image_sizes": torch.tensor([tuple(canvas.shape[-2:])] * n, device=pixels.device),
            "image_attention_mask": masks.expand(n, -1, -1, -1),
            "num_img_tokens": torch.tensor([tokens(fit.mask, patches)] * n, device=pixels.device),
        }

    def _laid(self, pixels: Tensor, fit: Fit, rounded: bool) -> Tensor:
        """[N, 3, rows * s, columns * s]: on its white canvas."""
        inside = pixels
        if fit[:2] != tuple(pixels.shape[-2:]):
            inside = F.interpolate(pixels, fit[:2], mode="bilinear", antialias=True, align_corners=False)
            if rounded:
                inside = inside + (eight_bit(pixels.detach(), fit[:2]) - inside.detach())
        height, width = (self.processor.patch_size * patches for patches in fit.mask.shape)
        return F.pad(inside, (0, width - fit.width, 0, height - fit.height), value=1.0)

    def _fit(self, height: int, width: int) -> Fit:
        """Raises ValueError for a picture so long that less than 10 pixels of its shorter side would be left."""
        if (height, width) not in self._fits:
            side, patch = self.processor.size["height"], self.processor.patch_size
            blank = torch.zeros(1, 1, 1, dtype=torch.uint8).expand(3, height, width)
            canvas, mask = self.processor.dynamic_preprocess(
                blank, side, patch, side // patch, max_num=self.processor.dynamic_hd
            )
            across, down = canvas.shape[-1] / width, canvas.shape[-2] / height
            self._fits[height, width] = (
                Fit(int(height * across), canvas.shape[-1], mask)
                if across < down
                else Fit(canvas.shape[-2], int(width * down), mask)
            )
        return self._fits[height, width]


def tokens(mask: Tensor, patches: int) -> int:
    """Tokens of a picture: every second patch in both directions that shows some of it, the ends of their rows, and
    those of the whole."""
    rows, columns = (torch.arange(n) % patches % 2 == 0 for n in mask.shape)
    kept = mask[rows][:, columns]
    return WHOLE + GAP + NEWLINES + int(kept.sum()) + int(kept[:, 0].sum())


def eight_bit(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """`pixels` of 8 bit [N, 3, H, W], float or uint8, resized as torchvision resizes 8-bit tensors on this CPU."""
    if size == tuple(pixels.shape[-2:]):
        return pixels
    levels = (pixels if pixels.dtype == torch.uint8 else (255 * pixels).round().to(torch.uint8)).cpu()
    native = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") or platform.machine() in ("aarch64", "arm64")
    found = F.interpolate(
        levels if native else levels.float(), size, mode="bilinear", antialias=True, align_corners=False
    )
    found = found.float().round().to(pixels)
    return found if pixels.dtype == torch.uint8 else found / 255
