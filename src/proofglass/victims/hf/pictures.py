"""The pictures of one model: at the size it works on, as its processor makes them, as its language model sees them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from proofglass.types import Image
from proofglass.victims.hf.families.base import Family, Picture
from proofglass.victims.hf.sized import Sized
from proofglass.victims.hf.twins.base import Twin

PIXELS = 2**25  # of the pictures of one pass through the tower: 400 MB as float32
KEPT = 64  # pictures whose features are kept between batches


class Pictures:
    """What a model makes of pictures. twin: None for a model that takes none."""

    def __init__(self, family: Family, twin: Twin | None, device: torch.device, dtype: torch.dtype) -> None:
        self.family, self.twin, self.device, self.dtype = family, twin, device, dtype
        self._rounded = True
        self._sized = Sized()
        self._seen: dict[tuple[Image, bool], Picture] = {}

    @property
    def twofold(self) -> bool:
        """Whether a picture is seen in another way where it is one of several (`Twin.several`)."""
        return self.twin is not None and self.twin.several is not None

    def size(self, image: Image) -> tuple[int, int]:
        """(height, width) of the pixels that an attack works on."""
        assert self.twin is not None
        return self.twin.size(image.height, image.width)

    def forget(self) -> None:
        """Let go of the features that are kept."""
        self._seen.clear()

    def pixels(self, image: Image) -> Tensor:
        """[1, 3, H, W] float32 in [0, 1]: the picture at the size that an attack works on (`Twin`), exact levels."""
        return self.levels(image).to(self.device).float() / 255

    def levels(self, image: Image) -> Tensor:
        """The same as uint8, on the CPU; the last few are kept. Any thread may call it. Raises ImageError for a file
        that cannot be read, ValueError for a picture that the model cannot take."""
        assert self.twin is not None
        found = self._sized.get(image)
        if found is None:
            own = torch.from_numpy(np.array(image.array())).permute(2, 0, 1)[None]
            found = self.twin.pixels(own).contiguous()
            self._sized.put(image, found)
        return found

    def values(self, pixels: Tensor, several: bool = False) -> dict[str, Tensor]:
        """What the model takes of N pictures, as its official processor makes it, with gradient. several: as it does
        in chats that show several pictures."""
        assert self.twin is not None
        found = ((several and self.twin.several) or self.twin).values(pixels, self._rounded)
        return {name: v.to(self.dtype) if v.is_floating_point() else v for name, v in found.items()}

    @contextlib.contextmanager
    def unrounded(self) -> Iterator[None]:
        """Resizes inside leave out their rounding, which has no slope: for finite differences."""
        self._rounded = False
        try:
            yield
        finally:
            self._rounded = True

    def fixed(self, image: Image, several: bool) -> Picture:
        """`image` as the language model sees it, alone or as one of several, no gradient; the last few are kept."""
        several = several and self.twofold
        found = self._seen.pop((image, several), None)
        if found is None:
            with torch.no_grad():
                values = self.values(self.pixels(image), several)
                found = Picture(self.family.encode(values)[0], self.family.grid(values))
        self._seen[image, several] = found  # last used, last out
        if len(self._seen) > KEPT:
            self._seen.pop(next(iter(self._seen)))
        return found

    def of(self, shown: Sequence[tuple[Image, bool]], most: int) -> list[Picture]:
        """Pictures, and whether as one of several (`values`); those of one size in one pass, at most `most`."""
        new: dict[tuple[tuple[int, int], bool], list[Image]] = {}
        for image, several in shown:
            if (image, several) not in self._seen:
                new.setdefault((self.size(image), several), []).append(image)
        found = {each: self._seen[each] for each in shown if each in self._seen}
        for (_, several), alike in new.items():
            height, width = self.size(alike[0])
            at_once = min(most, max(1, PIXELS // (height * width)))
            for at in range(0, len(alike), at_once):
                part = alike[at : at + at_once]
                values = self.values(torch.cat([self.pixels(image) for image in part]), several)
                grid = self.family.grid(values)
                found |= {
                    (image, several): Picture(features, grid)
                    for image, features in zip(part, self.family.encode(values), strict=True)
                }
        self._seen = dict(list({**self._seen, **found}.items())[-KEPT:])
        return [found[each] for each in shown]
