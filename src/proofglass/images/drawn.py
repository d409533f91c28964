"""What text our own pictures hold: known in this process, for controls that need the true text of a picture."""

from __future__ import annotations

from proofglass.types import Image

_DRAWN: dict[str, str] = {}  # sha256 of a picture -> the lines drawn into it


def remember(image: Image, lines: str) -> None:
    """`lines` were drawn into `image`."""
    _DRAWN[image.sha256] = lines


def text_of(image: Image) -> str | None:
    """The text that was drawn into this very picture, in this process; None for any other picture.

    Serves controls that need the true text of a picture instead of what a reader makes of it.
    """
    return _DRAWN.get(image.sha256)
