"""One size for every picture: CLIP, SigLIP, BLIP, ViT and their like resize, perhaps crop the centre, and normalise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from proofglass.victims.hf.twins.base import Twin


class Fixed(Twin):
    """Resize to (height, width) or by the shortest edge, then crop the centre if the processor does."""

    def __init__(self, processor: Any) -> None:
        super().__init__(processor)
        height, width = self._final()
        # Only a size that the processor leaves alone can be the size that an attack works on.
        if self._resized(height, width) == (height, width):
            self.image_size = (width, height)

    def _final(self) -> tuple[int, int]:
        size, crop = self.processor.size, self.processor.crop_size
        if self.processor.do_center_crop:
            return crop["height"], crop["width"]
        if size.get("shortest_edge"):
            return size["shortest_edge"], size["shortest_edge"]
        return size["height"], size["width"]

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Size after the resize, before the crop."""
        size = self.processor.size
        if not self.processor.do_resize:
            return height, width
        edge = size.get("shortest_edge")
        if not edge:
            return size["height"], size["width"]
        short, long = min(height, width), max(height, width)
        longer = int(edge * long / short)
        return (edge, longer) if height <= width else (longer, edge)

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.image_size[::-1] if self.image_size else (height, width)

    def pixels(self, levels: Tensor) -> Tensor:
        return self._framed(levels, True) if self.image_size else levels

    def values(self, pixels: Tensor, rounded: bool = True) -> dict[str, Tensor]:
        return {"pixel_values": self.normalise(self._framed(pixels, rounded))}

    def _framed(self, pixels: Tensor, rounded: bool) -> Tensor:
        pixels = self.resize(pixels, self._resized(*pixels.shape[-2:]), rounded)
        if not self.processor.do_center_crop:
            return pixels
        crop = self.processor.crop_size
        return centre_crop(pixels, crop["height"], crop["width"])


class Squared(Fixed):
    """LLaVA's own processor: pads to a square of the mean colour, if told to, before anything else."""

    def _framed(self, pixels: Tensor, rounded: bool) -> Tensor:
        return super()._framed(squared(pixels, self.processor) if self.processor.do_pad else pixels, rounded)


def squared(pixels: Tensor, processor: Any) -> Tensor:
    """In the middle of a square of the processor's mean colour, rounded down to a level."""
    height, width = pixels.shape[-2:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    levels = torch.tensor([int(255 * mean) for mean in processor.image_mean])
    canvas = (levels if pixels.dtype == torch.uint8 else levels.double() / 255).to(pixels)
    canvas = canvas[:, None, None].expand(*pixels.shape[:-3], 3, side, side).clone()
    canvas[..., top : top + height, left : left + width] = pixels
    return canvas


def centre_crop(pixels: Tensor, height: int, width: int) -> Tensor:
    """The middle height x width, as transformers cuts it: black around a picture that is smaller."""
    down, right = max(height - pixels.shape[-2], 0), max(width - pixels.shape[-1], 0)
    if down or right:
        top, left = -(-down // 2), -(-right // 2)
        pixels = F.pad(pixels, (left, right - left, top, down - top))
    top, left = (pixels.shape[-2] - height) // 2, (pixels.shape[-1] - width) // 2
    return pixels[..., top : top + height, left : left + width]
