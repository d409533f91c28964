"""A picture that shows something else once it is shrunk: the nearest one to a cover whose downscale is a payload.

Without rounding, Pillow's resize is linear and separable: a picture X becomes A X B', a matrix for the height and one
for the width. The pictures that become the payload are a flat set, those with levels in 0..255 (and near the cover) a
box, and the nearest point of both to the cover is found by Dykstra's projections, each of which has a closed form.
Then it is rounded, and Pillow itself says what is left of the payload: nothing here trusts the linear model.
Source: Xiao et al. 2019, "Seeing is Not Believing: Camouflage Attacks on Image Scaling Algorithms" (the idea; there by
convex programs). Boyle and Dykstra 1986 for the projections.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from proofglass.images import resize
from proofglass.types import Image

if TYPE_CHECKING:
    import numpy as np

Filter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Fit = Literal["squash", "crop"]
FILTERS: dict[Filter, int] = {
    "bicubic": resize.BICUBIC,
    "bilinear": resize.BILINEAR,
    "lanczos": resize.LANCZOS,
    "box": resize.BOX,
    "hamming": resize.HAMMING,
    "nearest": resize.NEAREST,
}
CLOSE = 0.25  # grey levels: nearer than this in the linear model, and rounding ends on the level that is meant
LOOK, GAIN = 20, 0.9  # every so many rounds it must have come nearer by a tenth, or the payload is out of reach
BLOCK = 16  # rows of a matrix that are multiplied together
MOST = 2**24  # pixels of a cover: some 800 MB are in use then


@dataclass(frozen=True)
class Downscale:
    """What a server or an image processor does to a picture: Pillow's resize, and perhaps a cut.

    width, height: of the result, in pixels. filter: Pillow's. fit: "squash" gives every picture this size whatever its
    shape; "crop" shrinks the shorter side to it and cuts out the middle (as CLIP's processor does).
    """

    width: int
    height: int
    filter: Filter = "bicubic"
    fit: Fit = "squash"

    def __call__(self, image: Image) -> Image:
        """`image` as the model gets it: by Pillow, in 8 bit."""
        return Image.from_array(self.pixels(image.array()), copy=False)

    def pixels(self, levels: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] -> uint8 [height, width, 3]. Raises ValueError for a picture smaller than the result."""
        import numpy as np
        from PIL import Image as Pillow

        whole, top, left = self._placed(*levels.shape[:2])
        shrunk = np.asarray(Pillow.fromarray(levels).resize(whole[::-1], FILTERS[self.filter]))
        return shrunk[top : top + self.height, left : left + self.width]

    def matrices(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the linear model, float64 [height of the result, height] and [width of the result, width]."""
        whole, top, left = self._placed(height, width)
        down = resize.matrix(height, whole[0], FILTERS[self.filter])[top : top + self.height]
        across = resize.matrix(width, whole[1], FILTERS[self.filter])[left : left + self.width]
        return down, across

    def _placed(self, height: int, width: int) -> tuple[tuple[int, int], int, int]:
        """(height, width) after the resize, and where the cut begins."""
        whole = (self.height, self.width)
        if self.fit == "crop":
            share = max(self.height / height, self.width / width)
            whole = (max(self.height, int(height * share)), max(self.width, int(width * share)))
        if height < whole[0] or width < whole[1]:
            raise ValueError(f"picture: expected at least {whole[1]} x {whole[0]} px, found {width} x {height}")
        return whole, (whole[0] - self.height) // 2, (whole[1] - self.width) // 2


@dataclass(frozen=True)
class Hidden:
    """A cover with a payload in it, and what Pillow says of both, in grey levels.

    image: of the cover's size. residual_max, residual_mean: of its downscale to the payload. linf, l2 (in [0, 1] units,
    of the whole difference), changed (share of pixels): of the image to the cover. blurred: the most by which the mean
    over the pixels behind one pixel of the payload moved: what whoever steps back from the full size can see. rounds:
    of projections.
    """

    image: Image
    residual_max: int
    residual_mean: float
    linf: int
    l2: float
    changed: float
    blurred: int
    rounds: int


def hidden(cover: Image, payload: Image, downscale: Downscale, *, most: int | None = None, rounds: int = 200) -> Hidden:
    """The picture nearest to `cover`, in l2, that `downscale` turns into `payload`.

    most: grey levels by which a value may differ from the cover (None: any). rounds: of projections at most; they end
    where the linear model is `CLOSE` to the payload, or comes no nearer. Where no picture in reach has this
    downscale, the one found comes as near to it as the levels let it, and the residual says how near.
    Raises ValueError for a payload of another size than the downscale's, and for a cover smaller than it, or larger
    than `MOST`.
    """
    import numpy as np

    if (payload.width, payload.height) != (downscale.width, downscale.height):
        raise ValueError(
            f"payload: expected {downscale.width} x {downscale.height} px, found {payload.width} x {payload.height}"
        )
    if cover.width * cover.height > MOST:
        raise ValueError(f"picture: expected at most {MOST} pixels, found {cover.width} x {cover.height}")
    clean, wanted = cover.array(), payload.array()
    reach = _Reach(_Flat.of(*downscale.matrices(*clean.shape[:2])), 255 if most is None else most)
    same = wanted == downscale.pixels(clean)
    planes = [reach.nearest(clean[..., c], wanted[..., c], same[..., c], rounds) for c in range(3)]
    best, done = np.stack([plane for plane, _ in planes], -1), max(count for _, count in planes)
    error = wanted.astype(np.int16) - downscale.pixels(best)
    moved = best.astype(np.int16) - clean
    return Hidden(
        Image.from_array(best, copy=False),
        int(np.abs(error).max()),
        float(np.abs(error).mean()),
        int(np.abs(moved).max()),
        float(np.linalg.norm(moved.astype(np.float32))) / 255,
        float(moved.any(2).mean()),
        int(np.abs(_averaged(best, downscale).astype(np.int16) - _averaged(clean, downscale)).max()),
        done,
    )


def _averaged(levels: np.ndarray, downscale: Downscale) -> np.ndarray:
    return replace(downscale, filter="box").pixels(levels)


@dataclass(frozen=True)
class _Reach:
    """Pictures with a wanted downscale, within some levels of a clean one."""

    flat: _Flat
    most: int

    def nearest(self, clean: np.ndarray, levels: np.ndarray, same: np.ndarray, rounds: int) -> tuple[np.ndarray, int]:
        """One channel, uint8 [H, W], and the rounds that it took: Dykstra's projections from `clean` onto the flat set
        and the box. A flat set needs no correction term. same: where the payload is what it would be anyway: there the
        unrounded value is kept, so that nothing moves for the sake of half a level."""
        import numpy as np

        x = clean.astype(np.float64)
        wanted = np.where(same, self.flat.seen(x), levels)
        low, high = np.maximum(x - self.most, 0), np.minimum(x + self.most, 255)
        correction, done, before_that = np.zeros_like(x), 0, np.inf
        while True:
            missing = wanted - self.flat.seen(x)
            far = float(np.abs(missing).max())
            stuck = done and done % LOOK == 0 and far > GAIN * before_that
            if done == rounds or far <= CLOSE or stuck:
                return np.floor(x + 0.5).astype(np.uint8), done
            before_that = far if done % LOOK == 0 else before_that
            before = x + self.flat.lifted(missing) + correction
            x = np.clip(before, low, high)
            correction = before - x
            done += 1


@dataclass(frozen=True)
class _Flat:
    """The pictures X with A X B' = wanted. down, across: A and B; of_rows, of_columns: the inverses of A A' and B B',
    so that A' (A A')^-1 is A's pseudo-inverse."""

    down: _Banded
    across: _Banded
    of_rows: np.ndarray
    of_columns: np.ndarray

    @classmethod
    def of(cls, down: np.ndarray, across: np.ndarray) -> _Flat:
        import numpy as np

        inverses = np.linalg.pinv(down @ down.T), np.linalg.pinv(across @ across.T)
        return cls(_Banded.of(down), _Banded.of(across), *inverses)

    def seen(self, x: np.ndarray) -> np.ndarray:
        """A X B', [h, w] of [H, W]."""
        return self.across.onto(self.down.onto(x).T).T

    def lifted(self, missing: np.ndarray) -> np.ndarray:
        """The smallest picture whose downscale is `missing`, [H, W] of [h, w]."""
        inner = self.of_rows @ missing @ self.of_columns
        return self.across.back(self.down.back(inner).T).T


@dataclass(frozen=True)
class _Banded:
    """A matrix [new, old] whose rows see few columns that stand together. blocks: (rows, columns, the values there)."""

    shape: tuple[int, int]
    blocks: tuple[tuple[slice, slice, np.ndarray], ...]

    @classmethod
    def of(cls, dense: np.ndarray) -> _Banded:
        import numpy as np

        blocks = []
        for first in range(0, len(dense), BLOCK):
            rows = slice(first, first + BLOCK)
            seen = np.flatnonzero(dense[rows].any(0))
            columns = slice(int(seen[0]), int(seen[-1]) + 1)
            blocks.append((rows, columns, dense[rows, columns].copy()))
        return cls((dense.shape[0], dense.shape[1]), tuple(blocks))

    def onto(self, x: np.ndarray) -> np.ndarray:
        """[old, n] -> [new, n]."""
        import numpy as np

        return np.concatenate([values @ x[columns] for _, columns, values in self.blocks])

    def back(self, y: np.ndarray) -> np.ndarray:
        """[new, n] -> [old, n], by the transpose."""
        import numpy as np

        found = np.zeros((self.shape[1], y.shape[1]))
        for rows, columns, values in self.blocks:
            found[columns] += values.T @ y[rows]
        return found
