"""Idefics3 and SmolVLM: a large picture is cut into tiles; the whole of it, small, follows as one more tile."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from proofglass.victims.hf.twins.base import Twin

LARGEST = 4096  # pixels of a side, whatever the processor's own size


class Idefics3(Twin):
    """Resize by the longest edge, then to multiples of a tile, rows of tiles, and the whole at the size of a tile.

    `pixels` are what is cut into tiles, where the processor leaves a picture of that size alone, and else the picture's
    own. The processor gives every picture the same number of tiles for its size, so nothing is padded here.
    """

    def __init__(self, processor: Any) -> None:
        super().__init__(processor)
        self.tile = int(processor.max_image_size["longest_edge"])

    def size(self, height: int, width: int) -> tuple[int, int]:
        final = self._steps(height, width)[-1]
        return final if set(self._steps(*final)) == {final} else (height, width)

    def pixels(self, levels: Tensor) -> Tensor:
        shape = levels.shape[-2], levels.shape[-1]
        return self._resized(levels, True) if self.size(*shape) != shape else levels

    def values(self, pixels: Tensor, rounded: bool = True) -> dict[str, Tensor]:
        whole = self._resized(pixels, rounded)
        tiles = self._tiles(whole, rounded) if self.processor.do_image_splitting else whole[:, None]
        found = {"pixel_values": self.normalise(tiles)}
        if self.processor.do_pad:
            found["pixel_attention_mask"] = torch.ones_like(tiles[:, :, 0], dtype=torch.long)
        return found

    def _tiles(self, whole: Tensor, rounded: bool) -> Tensor:
        """[N, n, 3, tile, tile]: rows of tiles, then the whole picture; one that is no larger than a tile is alone."""
        if max(whole.shape[-2:]) <= self.tile:
            return whole[:, None]
        cut = whole.unfold(2, self.tile, self.tile).unfold(3, self.tile, self.tile)  # [N, 3, rows, columns, tile, tile]
        small = self.resize(whole, (self.tile, self.tile), rounded)
        return torch.cat([cut.permute(0, 2, 3, 1, 4, 5).flatten(1, 2), small[:, None]], 1)

    def _resized(self, pixels: Tensor, rounded: bool) -> Tensor:
        for step in self._steps(pixels.shape[-2], pixels.shape[-1]):
            pixels = self.resize(pixels, step, rounded)
        return pixels

    def _steps(self, height: int, width: int) -> list[tuple[int, int]]:
        """Sizes (height, width) to which the processor resizes a picture, one after another."""
        found = []
        if self.processor.do_resize:
            height, width = self._longest(height, width)
            found.append((height, width))
        found.append(self._grid(height, width) if self.processor.do_image_splitting else (self.tile, self.tile))
        return found

    def _longest(self, height: int, width: int) -> tuple[int, int]:
        size = self.processor.size
        edge = size.get("longest_edge")
        if not edge:
            return size["height"], size["width"]
        ratio = width / height
        if width >= height:
            height, width = int(edge / ratio), edge
            height += height % 2
        else:
            height, width = edge, int(edge * ratio)
            width += width % 2
        height, width = max(height, 1), max(width, 1)
        if max(height, width) > LARGEST:
            ratio = width / height
            height, width = (int(LARGEST / ratio), LARGEST) if width >= height else (LARGEST, int(LARGEST * ratio))
        return max(height, 1), max(width, 1)

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        """The longer side as a multiple of a tile, the other one by the ratio of sides, then a multiple as well."""
        ratio = width / height
        if width >= height:
            width = self._multiple(width)
            return self._multiple(int(width / ratio)), width
        height = self._multiple(height)
        return height, self._multiple(int(height * ratio))

    def _multiple(self, side: int) -> int:
        return math.ceil(side / self.tile) * self.tile
