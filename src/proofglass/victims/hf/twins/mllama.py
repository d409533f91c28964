"""Mllama: a picture fitted into the best canvas of up to max_image_tiles tiles, black below and right of it."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from proofglass.victims.hf.twins.base import Twin

Size = tuple[int, int]


class Mllama(Twin):
    """`pixels` at the size inside its canvas, where the processor finds the same canvas for that size again."""

    def size(self, height: int, width: int) -> Size:
        inner, canvas = self._fitted(height, width)
        return inner if self._fitted(*inner) == (inner, canvas) else (height, width)

    def pixels(self, levels: Tensor) -> Tensor:
        return self.resize(levels, self.size(*levels.shape[-2:]), True)

    def values(self, pixels: Tensor, rounded: bool = True) -> dict[str, Tensor]:
        """N pictures as those of one chat: pixel_values [1, N, tiles, 3, side, side], zero where there is no tile."""
        side, most = int(self.processor.size["height"]), int(self.processor.max_image_tiles)
        inner, canvas = self._fitted(*pixels.shape[-2:])
        fitted = F.pad(self.resize(pixels, inner, rounded), (0, canvas[1] - inner[1], 0, canvas[0] - inner[0]))
        rows, columns = canvas[0] // side, canvas[1] // side
        tiles = self.normalise(fitted).unflatten(3, (columns, side)).unflatten(2, (rows, side))
        tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # from [N, 3, rows, side, columns, side]
        used = torch.arange(most, device=pixels.device) < rows * columns
        ratio = _ratios(most).index((rows, columns)) + 1  # 0 stands for no picture
        return {
            "pixel_values": F.pad(tiles, (0, 0) * 3 + (0, most - rows * columns))[None],
            "aspect_ratio_ids": torch.full((1, len(pixels)), ratio, device=pixels.device),
            "aspect_ratio_mask": used.long().expand(1, len(pixels), -1),
        }

    def _fitted(self, height: int, width: int) -> tuple[Size, Size]:
        return _fit(height, width, int(self.processor.max_image_tiles), int(self.processor.size["height"]))


@lru_cache(maxsize=1024)
def _fit(height: int, width: int, tiles: int, side: int) -> tuple[Size, Size]:
    """(height, width) of the picture inside its canvas, and of the canvas: by the official processor's own rule."""
    from transformers.models.mllama import image_processing_pil_mllama as rule

    canvas = rule.get_optimal_tiled_canvas(height, width, tiles, side)
    inner = rule.get_image_size_fit_to_canvas(height, width, *canvas, tile_size=side)
    return (int(inner[0]), int(inner[1])), (int(canvas[0]), int(canvas[1]))


def _ratios(tiles: int) -> list[Size]:
    from transformers.models.mllama.image_processing_pil_mllama import get_all_supported_aspect_ratios

    return get_all_supported_aspect_ratios(tiles)
