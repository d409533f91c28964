"""A picture that shows something else once it is shrunk: the nearest one to a cover whose downscale is a payload.

Without rounding, Pillow's resize is linear and separable: a picture X becomes A X B', a matrix for the height and one
for the width. The pictures that become the payload are a flat set, those with levels in 0..255 (and near the cover) a
box, and the nearest point of both to the cover is found by Dykstra's projections, each of which has a closed form.
Then it is rounded, and Pillow itself says what is left of the payload: nothing here trusts the linear model.
Source: Xiao et al. 2019, "Seeing is Not Believing: Camouflage Attacks on Image Scaling Algorithms" (the idea; there by
convex programs). Boyle and Dykstra 1986 for the projections.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    of the whole difference), changed (share of pixels): of the image to the cover. rounds: of projections.
    """

    image: Image
    residual_max: int
    residual_mean: float
    linf: int
    l2: float
    changed: float
    rounds: int


def hidden(
    cover: Image, payload: Image, downscale: Downscale, *, most: int | None = None, rounds: int = 200, mends: int = 5
) -> Hidden:
    """The picture nearest to `cover`, in l2, that `downscale` turns into `payload`.

    most: grey levels by which a value may differ from the cover (None: any). rounds: of projections at most; they end
    where the linear model is `CLOSE` to the payload. Where no picture in reach has this downscale, the one found comes
    as near to it as the levels let it, and the residual says how near. mends: how often what rounding broke is mended.
    Raises ValueError for a payload of another size than the downscale's, or a cover smaller than it.
    """
    import numpy as np

    if (payload.width, payload.height) != (downscale.width, downscale.height):
        raise ValueError(
            f"payload: expected {downscale.width} x {downscale.height} px, found {payload.width} x {payload.height}"
        )
    clean = cover.array().astype(np.float64)
    wanted = payload.array().astype(np.float64)
    reach = 255 if most is None else most
    low, high = np.maximum(clean - reach, 0), np.minimum(clean + reach, 255)
    flat = _Flat.of(*downscale.matrices(*clean.shape[:2]))
    found, done = _nearest(clean, wanted, flat, low, high, rounds)
    best = np.floor(found + 0.5)
    error = wanted - downscale.pixels(best.astype(np.uint8))
    aim = wanted
    for _ in range(mends):
        if not error.any():
            break
        aim = aim + 0.5 * error
        tried = np.floor(np.clip(flat.onto(found, aim), low, high) + 0.5)
        left = wanted - downscale.pixels(tried.astype(np.uint8))
        if np.abs(left).sum() >= np.abs(error).sum():
            break
        best, error = tried, left
    moved = best - clean
    return Hidden(
        Image.from_array(best.astype(np.uint8), copy=False),
        int(np.abs(error).max()),
        float(np.abs(error).mean()),
        int(np.abs(moved).max()),
        float(np.linalg.norm(moved)) / 255,
        float(moved.any(2).mean()),
        done,
    )


def _nearest(
    clean: np.ndarray, wanted: np.ndarray, flat: _Flat, low: np.ndarray, high: np.ndarray, rounds: int
) -> tuple[np.ndarray, int]:
    """Dykstra's projections from `clean` onto the flat set and the box. A flat set needs no correction term."""
    import numpy as np

    x, correction, done = clean, np.zeros_like(clean), 0
    while done < rounds and np.abs(wanted - flat.seen(x)).max() > CLOSE:
        before = flat.onto(x, wanted) + correction
        x = np.clip(before, low, high)
        correction = before - x
        done += 1
    return x, done


@dataclass(frozen=True)
class _Flat:
    """The pictures X with A X B' = wanted. down, across: A and B; up, along: their pseudo-inverses."""

    down: np.ndarray
    across: np.ndarray
    up: np.ndarray
    along: np.ndarray

    @classmethod
    def of(cls, down: np.ndarray, across: np.ndarray) -> _Flat:
        import numpy as np

        return cls(down, across, np.linalg.pinv(down), np.linalg.pinv(across))

    def seen(self, x: np.ndarray) -> np.ndarray:
        """A X B' of each channel, [h, w, 3]."""
        return _both(self.down, x, self.across)

    def onto(self, x: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """The nearest picture to `x` in the set."""
        return x + _both(self.up, wanted - self.seen(x), self.along)


def _both(left: np.ndarray, x: np.ndarray, right: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.einsum("ij,jkc,lk->ilc", left, x, right, optimize=True)
