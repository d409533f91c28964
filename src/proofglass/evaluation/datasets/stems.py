"""Pictures that a table names without saying how their files end: what was fetched from an address may be any kind."""

from __future__ import annotations

import os
from pathlib import Path

from proofglass.errors import ImageError
from proofglass.evaluation.datasets.reading import picture_in
from proofglass.types import Image

ENDINGS = (".jpg", ".png", ".jpeg", ".webp", ".gif", ".JPG", ".PNG", ".JPEG", ".WEBP", "")


def picture_of_stem(folder: Path, stem: str, fetch: str = "") -> Image:
    """The picture `stem` in `folder`, whatever its file ends in. fetch: how it is to be had, for the error where it is
    not there. Raises ImageError for that, for what is no picture, and for a name that leads out of the folder."""
    if not (name := name_of_stem(folder, stem)):
        raise ImageError(f"{stem!r:.80}: no picture of this name in {folder}{fetch and f'; {fetch}'}")
    return picture_in(folder, name)


def name_of_stem(folder: Path, stem: str) -> str:
    """The name of the file in `folder` that is `stem` with an ending of pictures, "" if there is none."""
    # os.path, since Path raises for a name that no disk can hold
    return next((stem + end for end in ENDINGS if os.path.isfile(os.path.join(folder, stem + end))), "")
