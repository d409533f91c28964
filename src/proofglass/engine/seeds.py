"""Random streams that belong to a picture, not to its place in a batch or to the order of the work."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
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


# The draw that a batch is evaluated at: a seed per row, and the step.
Draw = tuple[tuple[int, ...], int | str]
_draw: ContextVar[Draw | None] = ContextVar("proofglass_draw", default=None)


@contextmanager
def drawing(seeds: Sequence[int], step: int | str) -> Iterator[None]:
    """Whatever draws at random for row b of the batches evaluated inside (a defense that an attacker looks through)
    draws it from (seeds[b], step). The loop says so around its objective: no objective and no victim hands it on."""
    token = _draw.set((tuple(seeds), step))
    try:
        yield
    finally:
        _draw.reset(token)


def draw_of(rows: int) -> Draw:
    """Seeds and step of the batch of `rows` pictures that is being evaluated; outside of `drawing`, one seed for all.

    Raises ValueError where the seeds are of another number of rows: an objective that widens its batch says with
    `drawing` which draws its rows are.
    """
    seeds, step = _draw.get() or ((0,) * rows, "alone")
    if len(seeds) != rows:
        raise ValueError(f"draws: {rows} pictures are evaluated under the seeds of {len(seeds)}")
    return seeds, step
