"""Rectangles of pixels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle of pixels: left and top belong to it, right and bottom no more."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        return self.right - self.left, self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """Where it lies in an array [H, W, ...]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def moved(self, x: int, y: int) -> Box:
        return Box(self.left + x, self.top + y, self.right + x, self.bottom + y)

    def grown(self, by: int) -> Box:
        return Box(self.left - by, self.top - by, self.right + by, self.bottom + by)

    def cut(self, by: Box) -> Box:
        """What of it lies in `by`; `NOWHERE` for nothing."""
        cut = Box(max(self[0], by[0]), max(self[1], by[1]), min(self[2], by[2]), min(self[3], by[3]))
        return cut if cut.left < cut.right and cut.top < cut.bottom else NOWHERE


NOWHERE = Box(0, 0, 0, 0)


def around(boxes: Iterable[Box]) -> Box:
    """The smallest box that holds all of `boxes`; `NOWHERE` for none."""
    found = list(boxes)
    if not found:
        return NOWHERE
    return Box(*(min(box[k] for box in found) for k in (0, 1)), *(max(box[k] for box in found) for k in (2, 3)))
