"""Where a pixel attack begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proofglass.interfaces import WhiteBoxVictim
from proofglass.types import Chat, Image

if TYPE_CHECKING:
    import torch


def start_pixels(
    victim: WhiteBoxVictim, chats: Sequence[Chat], start: Image | None
) -> tuple[list[Image], torch.Tensor]:
    """Clean pictures and float32 [B, 3, H, W] in [0, 1]: each chat's own picture, else `start`, else mid-grey.

    Pictures are taken at the size of the victim's tower, so that what is saved is what the model sees.
    """
    import torch

    from proofglass.engine import quantise

    x = torch.cat([victim.pixels(chat.images[0] if chat.images else start or grey(victim)) for chat in chats])
    return quantise(x), x


def grey(victim: WhiteBoxVictim) -> Image:
    """A mid-grey picture at the victim's own size."""
    import numpy as np

    width, height = victim.image_size or (224, 224)
    return Image.from_array(np.full((height, width, 3), 128, np.uint8))
