"""An 8-bit picture, named by its pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class Image:
    """An 8-bit RGB picture, named by the sha256 of its pixels.

    Two images with the same pixels are equal whatever file they came from. read: gives the pixels whenever they are
    looked at; they are let go of again, so that a million pictures of files hold no pixels. An image made `from_array`
    keeps its own.
    Attributes: sha256 (hex), width and height (pixels).
    """

    __slots__ = ("_read", "height", "sha256", "width")

    def __init__(self, sha256: str, width: int, height: int, read: Callable[[], np.ndarray]) -> None:
        self.sha256, self.width, self.height = sha256, width, height
        self._read = read

    @classmethod
    def from_array(cls, pixels: np.ndarray, *, copy: bool = True) -> Image:
        """Image of `pixels`, uint8 [H, W, 3]. copy: False gives the array away; nobody writes into it any more.

        Raises TypeError for any other dtype: a float picture has not been rounded to what a file can hold,
        so it is not yet an image (`engine.quantise` does that). Raises ValueError for another shape.
        """
        import numpy as np

        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            raise TypeError(f"pixels: expected a uint8 array, found {getattr(pixels, 'dtype', type(pixels).__name__)}")
        if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"pixels: expected shape [H, W, 3], found {list(pixels.shape)}")
        own = pixels.copy(order="C") if copy else np.ascontiguousarray(pixels)
        own.setflags(write=False)
        return cls(pixel_hash(own), own.shape[1], own.shape[0], lambda: own)

    def array(self) -> np.ndarray:
        """Pixels, uint8 [H, W, 3], read-only. Raises ImageError if a lazy file changed or is gone."""
        pixels = self._read()
        pixels.setflags(write=False)
        return pixels

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and other.sha256 == self.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"Image({self.sha256[:12]}, {self.width}x{self.height})"


def pixel_hash(pixels: np.ndarray) -> str:
    """Sha256 of size and pixels, uint8 [H, W, 3]: independent of file format and metadata."""
    digest = hashlib.sha256(f"{pixels.shape[1]}x{pixels.shape[0]}:".encode())
    digest.update(pixels.data if pixels.flags.c_contiguous else pixels.tobytes())
    return digest.hexdigest()
