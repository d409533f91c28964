"""Where a search stands: one picture, or several variables by name. What an objective is asked about has one of two
forms, and its gradient comes back in the same one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import torch

# A picture, float32 [B, 3, H, W]; or variables by name, batch first: pictures are named after the victim's slots
# ("image", "image2", ...), anything else as its objective likes ("prompt").
Point: TypeAlias = "torch.Tensor | Mapping[str, torch.Tensor]"
IMAGE = "image"  # the name of a picture that stands alone


def named(x: Point) -> dict[str, torch.Tensor]:
    """The variables of `x` by name; a picture that stands alone is "image"."""
    return dict(x) if isinstance(x, Mapping) else {IMAGE: x}


def shaped(found: Mapping[str, torch.Tensor], like: Point) -> Point:
    """`found` in the form of `like`: by name, or the one picture itself."""
    return found if isinstance(like, Mapping) else found[IMAGE]


def is_picture(name: str) -> bool:
    """Whether the variable `name` is a picture, which is rounded to 8 bit in the end: "image", "image2", ..."""
    return name.startswith(IMAGE)


def rows_of(x: Mapping[str, torch.Tensor], picks: Sequence[int]) -> dict[str, torch.Tensor]:
    """These rows of every tensor, in this order; repeats are allowed."""
    return {name: tensor[list(picks)] for name, tensor in x.items()}


def wide(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """One value per row, [B], shaped [B, 1, ...] so that it broadcasts over `like` [B, ...]."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def norm(x: torch.Tensor) -> torch.Tensor:
    """Euclidean norm per row, never over the batch: [B, 1, ...], as many axes as x has."""
    return wide(x.flatten(1).norm(dim=1), x)
