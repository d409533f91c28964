"""What the plugs are made of."""

from __future__ import annotations

import numpy as np

from proofglass.interfaces import Paper
from proofglass.types import Image

PAPER = Paper("Nobody 2024", "A Method", "arXiv:0000.00000")


def grey(level: int = 128) -> Image:
    return Image.from_array(np.full((4, 4, 3), level, np.uint8))


def float_image() -> Image:
    """What `Image.from_array` refuses, made by hand."""
    return Image("f" * 64, 4, 4, lambda: np.zeros((4, 4, 3), np.float32))
