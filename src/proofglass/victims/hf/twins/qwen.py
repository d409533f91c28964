"""Qwen2-VL and its successors: the nearest multiples of a patch, cut into a row of flat patches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from proofglass.victims.hf.twins.base import Twin


class SmartResize(Twin):
    """Both sides become multiples of `patch_size * merge_size`, their product stays within the processor's bounds.

    Attacks work on the resized picture, which the processor leaves alone, except where it would not: a very thin one.
    """

    def __init__(self, processor: Any) -> None:
        super().__init__(processor)
        self.patch, self.merge, self.frames = processor.patch_size, processor.merge_size, processor.temporal_patch_size

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Raises ValueError for a picture more than 200 times as long as wide."""
        if not self.processor.do_resize:
            return height, width
        size = self.processor.size
        found: tuple[int, int] = smart_resize(
            height, width, self.patch * self.merge, size["shortest_edge"], size["longest_edge"]
        )
        return found

    def size(self, height: int, width: int) -> tuple[int, int]:
        resized = self._resized(height, width)
        side = self.patch * self.merge
        if resized[0] % side or resized[1] % side:
            raise ValueError(f"picture: expected sides that are multiples of {side}, found {height} x {width}")
        try:
            stays = self._resized(*resized) == resized
        except ValueError:
            stays = False
        return resized if stays else (height, width)

    def pixels(self, levels: Tensor) -> Tensor:
        return self.resize(levels, self.size(*levels.shape[-2:]), True)

    def values(self, pixels: Tensor, rounded: bool = True) -> dict[str, Tensor]:
        pixels = self.normalise(self.resize(pixels, self._resized(*pixels.shape[-2:]), rounded))
        n, _, height, width = pixels.shape
        rows, columns = height // self.patch, width // self.patch
        grid = torch.tensor([[1, rows, columns]], device=pixels.device).expand(n, -1)
        return {"pixel_values": self._flat(pixels, rows, columns), "image_grid_thw": grid}

    def _flat(self, pixels: Tensor, rows: int, columns: int) -> Tensor:
        """[N * rows * columns, 3 * frames * patch ** 2]: patches that will be merged stand together, and each is
        repeated as if the picture were a still film."""
        m, p = self.merge, self.patch
        cut = pixels.unflatten(2, (rows // m, m, p)).unflatten(-1, (columns // m, m, p))
        cut = cut.permute(0, 2, 5, 3, 6, 1, 4, 7)  # N, rows, columns, within a merge (rows, columns), 3, patch, patch
        cut = cut.unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, self.frames, -1, -1)
        found: Tensor = cut.flatten(5).flatten(0, 4)
        return found
