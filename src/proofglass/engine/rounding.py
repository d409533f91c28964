"""From an optimised picture to the 8-bit one that is saved: inside its ball, and as near to what was found as fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

# A radius may be typed with some digits too few: 0.0627451 is 16/255. In grey levels.
TYPED = 1e-4
# Values that moved by less than this have not moved: float32 holds a grey level to a few 1e-5.
STILL = 1e-3


def whole_levels(epsilon: float) -> int:
    """How many whole grey levels `epsilon`, in [0, 1] units, holds: the last one inside."""
    return int(255 * epsilon + TYPED)


def nearest(x: torch.Tensor) -> torch.Tensor:
    """floor(255 x + 0.5), clipped: whole float64 in 0..255, of the shape of `x`, on the CPU.

    Rounds half up: truncation would leave an l-infinity ball by one level. As in torchvision's save_image.
    """
    # float64: 255 x + 0.5 in float32 rounds some values just below one half up to the next level.
    return (x.detach().cpu().double() * 255 + 0.5).floor().clamp(0, 255)


def fitted(
    x: torch.Tensor, x0: torch.Tensor, radius: float, epsilon: float = 1.0, *, per: Literal["picture", "channel"]
) -> torch.Tensor:
    """Grey levels of `x` within `radius` (l2, of each picture or channel) and `epsilon` (l-infinity) of `nearest(x0)`.

    x, x0: float [B, 3, H, W] in [0, 1]; both radii in [0, 1] units. Every difference is first cut down to whole levels,
    which stays in the ball, and then made one level longer, those with the largest rest first: as long as the ball
    holds that where it is the nearest level, and for the others as long as the whole gets no longer than it was. So the
    nearest levels are saved wherever they lie in the ball, and a ball so thin that every value would round to nothing
    is filled with the values that moved most. Equal rests go in the order of the picture.
    """
    import torch

    clean, from_axis = nearest(x0), 1 if per == "picture" else 2
    moved = (255 * (x.detach().cpu().double() - x0.detach().cpu().double())).flatten(from_axis)
    slices = moved.reshape(-1, moved.shape[-1])
    levels = torch.stack([_in_ball(one, 255 * radius, whole_levels(epsilon)) for one in slices])
    return (clean + levels.reshape(clean.shape)).clamp(0, 255)


def _in_ball(moved: torch.Tensor, radius: float, most: int) -> torch.Tensor:
    """Whole levels near `moved`, float64 [n], of l2 norm at most `radius` and at most `most` each; all in levels."""
    length = float(moved.norm())
    size = moved.abs() * min(1.0, radius / max(length, 1e-12))
    inner = size.floor().clamp(max=most)
    rest = size - inner
    places = ((rest > STILL) & (inner < most)).nonzero()[:, 0]
    places = places[rest[places].argsort(descending=True, stable=True)]
    squares = (inner**2).sum() + (2 * inner[places] + 1).cumsum(0)  # whole numbers: exact
    in_ball = squares <= radius**2 * (1 + 1e-9)
    no_longer = squares <= min(length, radius) ** 2
    inner[places] += (in_ball & ((rest[places] >= 0.5) | no_longer)).double()
    return inner * moved.sign()
