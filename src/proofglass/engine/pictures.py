"""Pictures and texts as searches take them: where one begins, and what is taught under which chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proofglass.engine.found import quantise
from proofglass.errors import UsageError
from proofglass.interfaces import Victim, WhiteBoxVictim
from proofglass.types import Chat, Image, Sample

if TYPE_CHECKING:
    import torch


def start_pixels(victim: Victim, chats: Sequence[Chat], start: Image | None) -> tuple[list[Image], torch.Tensor]:
    """Clean pictures and float32 [B, 3, H, W] in [0, 1]: each chat's own picture, else `start`, else mid-grey.

    Pictures are taken at the size of the victim's tower, so that what is saved is what the model sees. Raises
    UsageError for a victim that takes text only.
    """
    import torch

    check_sees(victim)
    x = torch.cat([_pixels(victim, chat.images[0] if chat.images else start or grey(victim)) for chat in chats])
    return quantise(x), x


def grey(victim: Victim) -> Image:
    """A mid-grey picture at the victim's own size."""
    import numpy as np

    width, height = victim.image_size or (224, 224)
    return Image.from_array(np.full((height, width, 3), 128, np.uint8))


def _pixels(victim: Victim, image: Image) -> torch.Tensor:
    """`image` as the victim takes it. One that shows nothing of itself gets its stated size (bicubic, in 8 bit; the
    sides are not kept in proportion), or, where it states none, the picture as it is."""
    import numpy as np
    from PIL import Image as Pillow

    if isinstance(victim, WhiteBoxVictim):
        return victim.pixels(image)
    size = victim.image_size or (image.width, image.height)
    if size == (image.width, image.height):
        return floats(image)
    return floats(Image.from_array(np.asarray(Pillow.fromarray(image.array()).resize(size, Pillow.Resampling.BICUBIC))))


def floats(image: Image) -> torch.Tensor:
    """The picture as it is, float32 [1, 3, H, W] in [0, 1]."""
    import numpy as np
    import torch

    return torch.from_numpy(image.array().transpose(2, 0, 1)[None].astype(np.float32) / 255)


def check_sees(victim: Victim) -> None:
    """Raises UsageError for a victim that takes text only."""
    if not victim.sees_images:
        raise UsageError(f"{victim.name}: takes text only, so there is no picture to attack; choose a victim that sees")


def check_targets(samples: Sequence[Sample]) -> None:
    """Raises ValueError for a sample without a target: asked before the first batch is paid for."""
    for sample in samples:
        if not sample.target:
            raise ValueError(f"sample {sample.id!r}: target: the attack needs a text to teach, found none")


def target_pairs(part: Sequence[Sample], clean: Sequence[Image]) -> list[list[tuple[Chat, str]]]:
    """Each sample's own (chat, target); the picture in the chat is a place holder. Raises ValueError without one."""
    check_targets(part)
    return [[(s.chat.with_image(c), s.target)] for s, c in zip(part, clean, strict=True)]
