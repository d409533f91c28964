"""Our own drawings: the sheet that they begin with, and the text that they hold, which is known in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofglass.types import Image

if TYPE_CHECKING:
    import numpy as np

_DRAWN: dict[str, str] = {}  # sha256 of a picture -> the lines drawn into it


def remember(image: Image, lines: str) -> None:
    """`lines` were drawn into `image`."""
    _DRAWN[image.sha256] = lines


def text_of(image: Image) -> str | None:
    """The text that was drawn into this very picture, in this process; None for any other picture.

    Serves controls that need the true text of a picture instead of what a reader makes of it.
    """
    return _DRAWN.get(image.sha256)


def plain(width: int, height: int, colour: tuple[int, int, int]) -> np.ndarray:
    """A sheet of one colour, uint8 [height, width, 3]."""
    import numpy as np

    if len(set(colour)) == 1:  # one value is written faster than three in turn
        return np.full((height, width, 3), colour[0], np.uint8)
    sheet = np.empty((height, width, 3), np.uint8)
    sheet[:] = colour
    return sheet
