"""Where the pictures of a data set lie: a folder, a zip file, or the table itself.

Pictures are opened by their content, whatever their names say; a name is found in another case too (`.JPG` for `.jpg`).
A picture that came as bytes is kept as those bytes and decoded whenever it is looked at.
"""

from __future__ import annotations

import functools
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from proofglass import images
from proofglass.errors import ImageError, UsageError, is_environment
from proofglass.evaluation.datasets.reading import picture_in
from proofglass.types import Image

MAX_BYTES = images.MAX_FILE_BYTES
# What zipfile raises of a broken file; ValueError: of a name that is not in its own encoding, too.
BROKEN = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
)


class Pictures(Protocol):
    """A place with pictures by name."""

    def read(self, name: str) -> Image:
        """The picture of this name. Raises ImageError, which names it, for one that is not there or is none."""


@dataclass(frozen=True)
class InFolder:
    """Pictures below `folder`. No name leads out of it."""

    folder: Path

    def read(self, name: str) -> Image:
        return picture_in(self.folder, name)


@dataclass(frozen=True)
class InZip:
    """Pictures in the zip file `path`; `inside`: the folder in it to which names are relative.

    Nothing is unpacked: a picture is read into memory, and one that would unpack to more than 256 MB is refused before
    that, as it states its size, and while it is read, since it may lie. Raises UsageError for what is no zip file.
    """

    path: Path
    inside: str = ""

    def read(self, name: str) -> Image:
        entry = str(PurePosixPath(self.inside, name))
        places = _places(self.path, _stamp(self.path))
        if (found := places.get(entry, places.get(entry.casefold()))) is None:
            raise ImageError(f"{self.path}: holds no {entry[:80]!r}")
        try:
            with zipfile.ZipFile(self.path) as archive:
                if (size := archive.getinfo(found).file_size) > MAX_BYTES:
                    raise ImageError(
                        f"{self.path}: {found[:80]!r} unpacks to {size} bytes, expected at most {MAX_BYTES}"
                    )
                with archive.open(found) as file:
                    data = file.read(MAX_BYTES + 1)
        except BROKEN as error:
            if isinstance(error, ImageError) or is_environment(error):
                raise
            raise ImageError(f"{self.path}: {found[:80]!r} cannot be read: {error}") from error
        if len(data) > MAX_BYTES:
            raise ImageError(f"{self.path}: {found[:80]!r} unpacks to more than {MAX_BYTES} bytes")
        return images.packed(data, f"{self.path.name}:{found}")

    def names(self) -> list[str]:
        """Every file in it, as it is named there, in the order of the names."""
        return sorted(set(_places(self.path, _stamp(self.path)).values()))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        told = path.stat()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    return told.st_size, told.st_mtime_ns


@functools.lru_cache(maxsize=8)
def _places(path: Path, stamp: tuple[int, int]) -> dict[str, str]:
    """Name, and name without its case -> the name in the archive. stamp: of the file, so that another one is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except BROKEN as error:
        if is_environment(error):
            raise
        raise UsageError(f"{path}: no zip file that can be read: {error}") from error
    return {name.casefold(): name for name in names} | {name: name for name in names}


def picture_of(value: Any, pictures: Pictures, name: str) -> Image:
    """The picture that a field of a table holds: a name in `pictures`, the bytes of a picture file, or what the hub's
    tables hold, {"bytes": ..., "path": ...}. name: what an error calls it. Raises ImageError for anything else."""
    if isinstance(value, Mapping) and (value.get("bytes") or value.get("path")):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return images.packed(bytes(value), name)
    if isinstance(value, str) and value.strip():
        return pictures.read(value)
    raise ImageError(f"{name}: expected the name of a picture or its bytes, found {type(value).__name__}")
