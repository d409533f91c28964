"""The last pictures at the size that a model works on: a large one is decoded and resized once, not for every use."""

from __future__ import annotations

import threading
from collections import OrderedDict

from torch import Tensor

from proofglass.types import Image

MOST = 128 * 2**20  # bytes of all
LARGEST = MOST // 8  # bytes of one: larger ones are not kept


class Sized:
    """Tensors by picture, the least recently used let go first. Several threads may use it."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0
        self._one_at_a_time = threading.Lock()

    def get(self, image: Image) -> Tensor | None:
        with self._one_at_a_time:
            found = self._held.get(image.sha256)
            if found is not None:
                self._held.move_to_end(image.sha256)
            return found

    def put(self, image: Image, pixels: Tensor) -> None:
        """Keep `pixels`, uint8, which nobody writes into."""
        if pixels.nbytes > LARGEST:
            return
        with self._one_at_a_time:
            if image.sha256 not in self._held:
                self._held[image.sha256] = pixels
                self._bytes += pixels.nbytes
            while self._bytes > MOST:
                self._bytes -= self._held.popitem(last=False)[1].nbytes
