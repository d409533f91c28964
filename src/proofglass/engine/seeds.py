"""Random streams that belong to a picture, not to its place in a batch or to the order of the work."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seed_of(*parts: object) -> int:
    """63-bit seed of a seed, a sample id, a restart, a step, ...: equal parts give equal seeds, on any machine."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def stream(*parts: object) -> torch.Generator:
    """A CPU generator seeded by `parts`, so that every device draws alike."""
    import torch

    return torch.Generator().manual_seed(seed_of(*parts))


def uniform(like: torch.Tensor, seeds: Sequence[int], *parts: object) -> torch.Tensor:
    """Uniform in [0, 1), shaped [B, ...] as `like`; row b is drawn from (seeds[b], *parts) alone."""
    import torch

    return torch.stack([torch.rand(like.shape[1:], generator=stream(s, *parts)) for s in seeds]).to(like.device)


def normal(like: torch.Tensor, seeds: Sequence[int], *parts: object) -> torch.Tensor:
    """Standard normal, shaped [B, ...] as `like`; row b is drawn from (seeds[b], *parts) alone."""
    import torch

    return torch.stack([torch.randn(like.shape[1:], generator=stream(s, *parts)) for s in seeds]).to(like.device)
