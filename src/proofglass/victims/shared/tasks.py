"""The pairs of one step, weighted, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from proofglass.interfaces import Weighting
from proofglass.victims.shared.prepared import Pair, Prepared

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Task:
    """A pair in one step. owner: which row of the slots' pixels it shows, -1 for none; weights: one per target token
    that is run (those behind the last non-zero weight are not); added: perturbation of its prompt's text tokens
    [n, width]."""

    pair: Pair
    owner: int
    weights: tuple[float, ...]
    added: Tensor | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        return self.pair.ids[: self.pair.start + len(self.weights)]

    @property
    def targets(self) -> tuple[int, ...]:
        return self.ids[self.pair.start :]


def tasks_of(
    prepared: Prepared, weighting: Weighting, text: Sequence[Sequence[Tensor]] | None = None
) -> list[list[Task]]:
    """The tasks of every picture, weighted for the whole step: rows and micro-batches come later and change nothing."""
    return [
        [
            Task(pair, b if pair.free else -1, weights, None if text is None else text[b][p])
            for p, (pair, weights) in enumerate(zip(row, _weights(row, weighting), strict=True))
        ]
        for b, row in enumerate(prepared.pairs)
    ]


def _weights(row: Sequence[Pair], weighting: Weighting) -> list[tuple[float, ...]]:
    if weighting == "token":
        total = sum(pair.tokens for pair in row)
        return [(1 / total,) * pair.tokens for pair in row]
    if weighting == "pair":
        return [(1 / (len(row) * pair.tokens),) * pair.tokens for pair in row]
    if weighting == "sum":
        return [(1.0,) * pair.tokens for pair in row]
    if weighting != "given":
        raise ValueError(f"weighting: expected token, pair, sum or given, found {weighting!r}")
    found = [pair.weights for pair in row]
    if any(w is None for w in found):
        raise ValueError('weighting: "given" needs weights; pass prepared.weighted(...)')
    return [_without_trailing_zeros(w) for w in found if w is not None]


def _without_trailing_zeros(weights: tuple[float, ...]) -> tuple[float, ...]:
    kept = max((k + 1 for k, w in enumerate(weights) if w), default=1)
    return weights[:kept]


def chunks(items: Sequence[T], size: int, lengths: Sequence[int] = (), switch: int = 0) -> Iterator[Sequence[T]]:
    """`items` in order, at most `size` at a time. lengths: of their sequences; none on either side of a
    length `switch` (0: there is none) come together."""
    at = 0
    while at < len(items):
        end = min(at + size, len(items))
        if switch:
            end = next((k for k in range(at, end) if (lengths[k] > switch) != (lengths[at] > switch)), end)
        yield items[at:end]
        at = end


def perturbations(
    text: Sequence[Sequence[Tensor]], prepared: Prepared, width: int, device: torch.device, need_grad: bool
) -> list[list[Tensor]]:
    """Text perturbations as leaves, float32 on `device`. Raises ValueError unless there is a row of `width` for each
    text token."""
    import torch

    expected = [[(n, width) for n in row] for row in prepared.text_tokens]
    found = [[tuple(t.shape) for t in row] for row in text]
    if found != expected:
        raise ValueError(f"text: expected shapes {expected}, found {found}")
    return [[t.detach().to(device, torch.float32, copy=True).requires_grad_(need_grad) for t in row] for row in text]
