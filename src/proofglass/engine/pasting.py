"""Patches on pictures: pasted, cut out again, as tensors and as 8-bit pictures. Corners are (top, left) in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proofglass.types import Image

if TYPE_CHECKING:
    import torch

Corner = tuple[int, int]


def paste(carriers: torch.Tensor, patches: torch.Tensor, corners: Sequence[Corner]) -> torch.Tensor:
    """Carriers [B, 3, H, W] with one patch of [B, 3, h, w] each; the carriers stay as they are."""
    whole = carriers.clone()
    height, width = patches.shape[-2:]
    for b, (top, left) in enumerate(corners):
        whole[b, :, top : top + height, left : left + width] = patches[b]
    return whole


def cut(pictures: torch.Tensor, corners: Sequence[Corner], height: int, width: int) -> torch.Tensor:
    """What lies where patches of `height` x `width` were pasted, [B, 3, height, width]: of a gradient, the patch's."""
    import torch

    return torch.stack(
        [one[:, top : top + height, left : left + width] for one, (top, left) in zip(pictures, corners, strict=True)]
    )


def pasted(carrier: Image, patch: Image, corner: Corner) -> Image:
    """The 8-bit `carrier` with `patch` on it. Raises ValueError where it would stick out."""
    (top, left), whole = corner, carrier.array().copy()
    if not (0 <= top <= carrier.height - patch.height and 0 <= left <= carrier.width - patch.width):
        raise ValueError(
            f"patch: {patch.height} x {patch.width} at {corner} does not fit into {carrier.height} x {carrier.width}"
        )
    whole[top : top + patch.height, left : left + patch.width] = patch.array()
    return Image.from_array(whole)
