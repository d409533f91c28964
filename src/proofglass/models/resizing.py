"""From pixels in [0, 1] of any size to what a network takes: Pillow's resize, a centre crop, mean and deviation.

On an 8-bit picture this equals the library's own preprocessing; gradients reach the pixels through all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proofglass.images.resize import BICUBIC, BILINEAR, BOX, HAMMING, LANCZOS, NEAREST, resize

if TYPE_CHECKING:
    import torch

FILTERS = {
    "nearest": NEAREST,
    "lanczos": LANCZOS,
    "bilinear": BILINEAR,
    "bicubic": BICUBIC,
    "box": BOX,
    "hamming": HAMMING,
}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preparation:
    """What a network wants done to a picture, in this order. Every size is (height, width) in pixels.

    size: the picture is stretched to it; one number: the shorter side, the other in proportion, rounded down; None:
    left as it is. crop: cut out of the middle, zeros (black) where the picture is smaller; None: no crop. middle: how
    half a pixel is rounded, "floor" (transformers) or "even" (torchvision: timm, open_clip). resample: Pillow's number
    of the filter. scale: factor of the pixels before the mean is taken off (255 for networks that take levels).
    rounded: resize in 8 bit, as Pillow does; False is for finite differences.
    """

    size: tuple[int, int] | int | None
    crop: tuple[int, int] | None = None
    resample: int = BICUBIC
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    scale: float = 1.0
    middle: Literal["floor", "even"] = "floor"
    rounded: bool = True

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """float [B, 3, h, w], normalised, of float [B, 3, H, W] in [0, 1]; same device and dtype."""
        shown = self.sized(pixels)
        mean, std = (shown.new_tensor(numbers)[:, None, None] for numbers in (self.mean, self.std))
        return (shown * self.scale - mean) / std

    def sized(self, pixels: torch.Tensor) -> torch.Tensor:
        """The picture that the network sees, float [B, 3, h, w] in [0, 1]."""
        import torch.nn.functional as F

        if self.size is not None:
            pixels = resize(pixels, self._resized(*pixels.shape[-2:]), self.resample, self.rounded)
        if self.crop is None:
            return pixels
        (height, width), (rows, columns) = pixels.shape[-2:], self.crop
        top, left = self._start(height, rows), self._start(width, columns)
        # Negative padding cuts, positive padding fills with zeros.
        return F.pad(pixels, (-left, left + columns - width, -top, top + rows - height))

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.size, int):
            assert self.size is not None
            return self.size
        longer = int(self.size * max(height, width) / min(height, width))
        return (longer, self.size) if width <= height else (self.size, longer)

    def _start(self, side: int, wanted: int) -> int:
        """First row or column of the crop; negative: so many zeros come first."""
        if self.middle == "floor":
            return (side - wanted) // 2
        return round((side - wanted) / 2) if side >= wanted else -((wanted - side) // 2)
