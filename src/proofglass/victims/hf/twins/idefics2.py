"""Idefics2: a picture keeps its ratio of sides between two bounds; perhaps its quarters come first."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from proofglass.victims.hf.twins.base import Twin


class Idefics2(Twin):
    """Resize into the bounds, normalise, pad to the largest part, with a mask of what is no padding.

    `pixels` are the picture within the bounds, where the processor leaves that alone. Quarters are cut before any
    resize, and so from the picture's own size.
    """

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Raises ValueError for a picture of one row, which has no upper half, where quarters are cut."""
        if self.processor.do_image_splitting and height < 2:
            raise ValueError(f"picture: expected a height of at least 2, to be cut in four, found {height} x {width}")
        final = self._bounded(height, width)
        stable = not self.processor.do_image_splitting and self._bounded(*final) == final
        return final if stable else (height, width)

    def pixels(self, levels: Tensor) -> Tensor:
        return self.resize(levels, self.size(levels.shape[-2], levels.shape[-1]), True)

    def values(self, pixels: Tensor, rounded: bool = True) -> dict[str, Tensor]:
        parts = [self._fitted(part, rounded) for part in self._parts(pixels)]
        height, width = (max(part.shape[side] for part in parts) for side in (-2, -1))
        frames = [(0, width - part.shape[-1], 0, height - part.shape[-2]) for part in parts]
        found = {"pixel_values": torch.stack([F.pad(p, f) for p, f in zip(parts, frames, strict=True)], 1)}
        if self.processor.do_pad:
            own = [torch.ones_like(part[:, 0], dtype=torch.long) for part in parts]
            found["pixel_attention_mask"] = torch.stack([F.pad(m, f) for m, f in zip(own, frames, strict=True)], 1)
        return found

    def _parts(self, pixels: Tensor) -> list[Tensor]:
        if not self.processor.do_image_splitting:
            return [pixels]
        row, column = pixels.shape[-2] // 2, pixels.shape[-1] // 2
        upper, lower = pixels[..., :row, :], pixels[..., row:, :]
        return [upper[..., :column], upper[..., column:], lower[..., :column], lower[..., column:], pixels]

    def _fitted(self, part: Tensor, rounded: bool) -> Tensor:
        return self.normalise(self.resize(part, self._bounded(part.shape[-2], part.shape[-1]), rounded))

    def _bounded(self, height: int, width: int) -> tuple[int, int]:
        size = self.processor.size
        if not self.processor.do_resize:
            return height, width
        if not size.get("longest_edge"):
            return size["height"], size["width"]
        least, most = size["shortest_edge"], size["longest_edge"]
        ratio = width / height
        if width >= height and width > most:
            height, width = int(most / ratio), most
        elif height > width and height > most:
            height, width = most, int(most * ratio)
        return max(height, least), max(width, least)
