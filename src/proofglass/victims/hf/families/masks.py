"""Who sees whom, for families in which that is more than "a token sees what stands before it"."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def past_of(cache: Any) -> int:
    """How many tokens are in the cache."""
    return 0 if cache is None else int(cache.get_seq_length())


def counted(ids: Tensor, past: int) -> Tensor:
    """The index [R, T] of each token in its own row, where a call gives none."""
    return torch.arange(past, past + ids.shape[1], device=ids.device)[None].expand(len(ids), -1)


def look_back(mask: Tensor | None, positions: Tensor, past: int) -> tuple[Tensor, Tensor]:
    """Who sees whom, boolean [R, 1, T, P + T], by `Family.hidden`'s mask: each token itself and what stands before it;
    and where in its own row each key stands [R, P + T], -1 for padding. positions: [R, T]; P = `past`, the tokens in
    the cache."""
    if mask is not None and mask.dim() == 4:
        seen = mask if mask.dtype == torch.bool else mask == 0
        before = torch.arange(past, device=mask.device)[None].expand(len(positions), -1)
        return seen, torch.cat([before, positions], 1)
    rows, new = positions.shape
    real = torch.ones(rows, past + new, device=positions.device) if mask is None else mask
    # Counted, not the column: padding may stand between what is in the cache and what is new.
    places = (real.long().cumsum(1) - 1).masked_fill(real == 0, -1)
    return ((places >= 0)[:, None] & (places[:, None] <= positions[:, :, None]))[:, None], places


def near(places: Tensor, positions: Tensor, window: int) -> Tensor:
    """Which keys are fewer than `window` tokens behind [R, 1, T, P + T], those ahead included."""
    return (places[:, None] > positions[:, :, None] - window)[:, None]


def fitted(seen: Tensor, config: Any, dtype: torch.dtype) -> Tensor:
    """`seen` as the attention code in use takes it: eager attention adds its mask, and would add True as 1. Its softmax
    runs in float32, in which the least float64 is infinite: a token of padding, which sees nothing, would be NaN."""
    if config._attn_implementation != "eager":
        return seen
    least = max(torch.finfo(dtype).min, torch.finfo(torch.float32).min)
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, least)
