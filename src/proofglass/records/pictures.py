"""Content-addressed pictures: `<folder>/ab/<sha256 of the pixels>.png`, each written once."""

from __future__ import annotations

from pathlib import Path

from proofglass.errors import ImageError, StoreError
from proofglass.records.files import write_whole
from proofglass.types import Image

_FIX = (
    "Restore it from a copy, or delete the folders artefacts, cells and sealed of this run and run the same command "
    "again: pictures are made anew, and what was asked about the same ones is not asked again."
)


class PictureFiles:
    """The pictures of a run folder. fix: what an error advises where one is gone."""

    def __init__(self, folder: Path, fix: str = _FIX) -> None:
        self.folder, self.fix = folder, fix

    def path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / f"{sha256}.png"

    def put(self, image: Image) -> str:
        """Keep `image`; returns its sha256. Raises ImageError if its lazy pixels cannot be read."""
        path = self.path(image.sha256)
        if not path.exists():
            from proofglass import images

            write_whole(path, images.encode(image))
        return image.sha256

    def get(self, sha256: str) -> Image:
        """The picture, read back from its file. Raises StoreError if it is gone or is no longer itself."""
        from proofglass import images

        path = self.path(sha256)
        try:
            image = images.read(path)
        except (OSError, ImageError) as error:
            raise StoreError(f"{path}: the picture that a record names cannot be read ({error}). {self.fix}") from error
        if image.sha256 != sha256:
            raise StoreError(f"{path}: holds other pixels than its name says. {self.fix}")
        return image
