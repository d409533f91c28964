"""A picture of any resolution as a grid of tiles beside a small view of the whole."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from proofglass.victims.hf.twins.base import Twin
from proofglass.victims.hf.twins.fixed import Fixed, squared


class AnyRes(Twin):
    """LLaVA-NeXT: the whole, squeezed to one tile, then the tiles of the best fitting canvas (Liu et al. 2024,
    https://llava-vl.github.io/blog/2024-01-30-llava-next).

    The picture is resized to fit into the canvas and centred on black. An attack works on the picture's own size.
    `values`: pixel_values [N, 1 + tiles, 3, h, w]; image_sizes [N, 2], height and width.
    """

    def __init__(self, processor: Any) -> None:
        super().__init__(processor)
        self.each = Fixed(processor)  # what happens to every view

    def values(self, pixels: Tensor, rounded: bool = True) -> dict[str, Tensor]:
        views = [self.resize(pixels, self._whole(), rounded)[:, None], self._tiles(pixels, rounded)]
        ready = [
            self.each.values(view.flatten(0, 1), rounded)["pixel_values"].unflatten(0, (len(pixels), -1))
            for view in views
        ]
        return {"pixel_values": torch.cat(ready, 1), "image_sizes": sizes(pixels)}

    def _whole(self) -> tuple[int, int]:
        size = self.processor.size
        edge = size.get("shortest_edge")
        return (edge, edge) if edge else (size["height"], size["width"])

    def _tiles(self, pixels: Tensor, rounded: bool) -> Tensor:
        from transformers.image_processing_utils import select_best_resolution

        crop = self.processor.crop_size
        side = crop["height"] if crop else self._whole()[0]
        canvas = select_best_resolution(tuple(pixels.shape[-2:]), self.processor.image_grid_pinpoints)
        inside = self.resize(pixels, fitting(*pixels.shape[-2:], *canvas), rounded)
        return split(centred(inside, *canvas), side, side)


class OneVision(AnyRes):
    """LLaVA-OneVision: as LLaVA-NeXT where a chat shows one picture (Li et al. 2024, arXiv:2408.03326).

    `values` also has batch_num_images [N]: how many pictures each chat shows.
    """

    def __init__(self, processor: Any) -> None:
        super().__init__(processor)
        self.several = OneOfSeveral(processor)

    def values(self, pixels: Tensor, rounded: bool = True) -> dict[str, Tensor]:
        alone = torch.ones(len(pixels), dtype=torch.long, device=pixels.device)
        return {**super().values(pixels, rounded), "batch_num_images": alone}


class OneOfSeveral(Twin):
    """LLaVA-OneVision where a chat shows several pictures: each of them as one tile, padded to a square."""

    def values(self, pixels: Tensor, rounded: bool = True) -> dict[str, Tensor]:
        tile = Fixed(self.processor).values(squared(pixels, self.processor), rounded)["pixel_values"]
        # A single picture is still one of several: any number but 1 says so.
        count = torch.tensor([max(2, len(pixels))], device=pixels.device)
        return {"pixel_values": tile[:, None], "image_sizes": sizes(pixels), "batch_num_images": count}


class Crops(Twin):
    """InternVL: the tiles of a canvas whose shape is closest to the picture's, which is stretched to fill it, then the
    whole, squeezed to one tile, unless it is one already (Chen et al. 2024, arXiv:2404.16821).

    `values`: pixel_values [N * tiles, 3, h, w]; num_patches [N], tiles per picture.
    """

    def values(self, pixels: Tensor, rounded: bool = True) -> dict[str, Tensor]:
        tile = self.processor.size["height"], self.processor.size["width"]
        rows, columns = self._grid(pixels, tile)
        views = split(self.resize(pixels, (rows * tile[0], columns * tile[1]), rounded), *tile)
        if rows * columns > 1:
            views = torch.cat([views, self.resize(pixels, tile, rounded)[:, None]], 1)
        count = torch.tensor([views.shape[1]] * len(pixels), device=pixels.device)
        return {"pixel_values": self.normalise(views.flatten(0, 1)), "num_patches": count}

    def _grid(self, pixels: Tensor, tile: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of tiles."""
        from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

        least, most = self.processor.min_patches, self.processor.max_patches
        if not self.processor.crop_to_patches or most <= 1:
            return 1, 1
        columns, rows = get_optimal_tiled_canvas(tuple(pixels.shape[-2:]), tile, least, most)
        return rows, columns


def sizes(pixels: Tensor) -> Tensor:
    """Height and width of each of N pictures, int64 [N, 2]."""
    return torch.tensor([tuple(pixels.shape[-2:])] * len(pixels), device=pixels.device)


def fitting(height: int, width: int, most_height: int, most_width: int) -> tuple[int, int]:
    """The largest size of the same shape within a canvas, rounded up."""
    across, down = most_width / width, most_height / height
    if across < down:
        return min(math.ceil(height * across), most_height), most_width
    return most_height, min(math.ceil(width * down), most_width)


def centred(pixels: Tensor, height: int, width: int) -> Tensor:
    """In the middle of a black canvas; an odd pixel of padding goes to the right and to the bottom."""
    down, right = height - pixels.shape[-2], width - pixels.shape[-1]
    return F.pad(pixels, (right // 2, right - right // 2, down // 2, down - down // 2))


def split(pixels: Tensor, height: int, width: int) -> Tensor:
    """[N, 3, rows * height, columns * width] -> [N, rows * columns, 3, height, width], row by row."""
    cut = pixels.unflatten(-2, (-1, height)).unflatten(-1, (-1, width))
    found: Tensor = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    return found
