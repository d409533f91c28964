"""What a twin of an image processor is, and the steps that most of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proofglass.errors import UsageError
from proofglass.images.resize import resize


class Twin:
    """The same function as `processor`, for float pixels and with gradient.

    An attack holds `pixels`, float32 [1, 3, h, w] in [0, 1]: the picture at a size from which the official processor,
    given the PNG of it, makes the very same `values`. That is the tower's size where the processor leaves a picture of
    that size alone, and else the picture's own.
    image_size: (width, height) that every picture gets, None: depends on the picture.
    several: the twin for chats that show several pictures, None: the same. It has the same `size` and `pixels`.
    """

    image_size: tuple[int, int] | None = None
    several: Twin | None = None

    def __init__(self, processor: Any) -> None:
        """Raises UsageError for a processor that does not take levels to [0, 1]."""
        rescales, factor = getattr(processor, "do_rescale", True), getattr(processor, "rescale_factor", 1 / 255)
        if not rescales or abs(255 * (factor or 0) - 1) > 1e-6:
            raise UsageError(
                "preprocessor_config.json: do_rescale, rescale_factor: expected true and 1/255, found "
                f"{rescales} and {factor}; no twin takes other ranges of pixels"
            )
        self.processor = processor

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) of the `pixels` of a picture of height x width. Raises ValueError for one that cannot be used."""
        return height, width

    def pixels(self, levels: Tensor) -> Tensor:
        """An 8-bit picture, uint8 [1, 3, H, W] (or float32 in [0, 1]), at the size that an attack works on. Still
        8-bit, in the same dtype."""
        return levels

    def values(self, pixels: Tensor, rounded: bool = True) -> dict[str, Tensor]:
        """What the official processor makes of N pictures of one size, float [N, 3, h, w] in [0, 1], under its own
        names and in its own layout. rounded: False leaves out the rounding inside resizes, for finite differences."""
        return {"pixel_values": self.normalise(pixels)}

    def normalise(self, pixels: Tensor) -> Tensor:
        """(x - mean) / std per channel; `pixels` [..., 3, H, W]."""
        mean, std = mean_std(self.processor)
        return (pixels - mean.to(pixels)) / std.to(pixels)

    def resize(self, pixels: Tensor, size: tuple[int, int], rounded: bool) -> Tensor:
        """As Pillow does it, with the processor's own filter."""
        return resize(pixels, size, int(self.processor.resample), rounded)


def official(processor: Any, images: Sequence[Any]) -> Mapping[str, Any]:
    """What the official processor makes of Pillow images or uint8 arrays [H, W, 3], as tensors."""
    found = processor(images=[pillow(image) for image in images], return_tensors="pt")
    return {"pixel_values": found} if isinstance(found, Tensor) else found  # IDEFICS gives the bare tensor


def pillow(image: Any) -> Any:
    """A uint8 array [H, W, 3] as a Pillow image: of an array 1, 3 or 4 pixels high, processors guess the axes wrong."""
    from PIL import Image

    return Image.fromarray(image) if isinstance(image, np.ndarray) else image


def mean_std(processor: Any) -> tuple[Tensor, Tensor]:
    """float32 [3, 1, 1] each; 0 and 1 where the processor does not normalise."""
    if not getattr(processor, "do_normalize", True):
        return torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    mean = torch.tensor(processor.image_mean, dtype=torch.float32).reshape(3, 1, 1)
    return mean, torch.tensor(processor.image_std, dtype=torch.float32).reshape(3, 1, 1)
