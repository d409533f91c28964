"""How the pairs of a picture are laid out: which tokens they share, which rows they are packed or padded into.

A sequence is [text before] [picture] [suffix]. Pairs that are alike up to their picture's last token form a `Group`;
what their suffixes have in common, too, is run once. Tokens are compared as ids: cutting the text would change the
tokens at the seam.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from proofglass.interfaces import Weighting
from proofglass.victims.hf.prepared import Pair, Prepared

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Task:
    """A pair in one step. owner: its picture, -1 for none; weights: one per target token that is run (tokens behind
    the last non-zero weight are not); added: perturbation of its prompt's text tokens [n, width]."""

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
            Task(pair, b if pair.picture else -1, weights, None if text is None else text[b][p])
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


@dataclass(frozen=True, eq=False)
class Group:
    """Tasks of one picture that share `text` (before the picture) and `shared` (the picture and a common run).

    echo: `shared` is the whole prompt. Its last token, which predicts a target's first one, then runs once more at the
    head of every suffix, at the same place and unseen by the others: its hidden state is wanted.
    """

    text: tuple[int, ...]
    shared: tuple[int, ...]
    tasks: tuple[Task, ...]
    echo: bool = False

    @property
    def past(self) -> int:
        """Number of tokens that stand before every suffix."""
        return len(self.text) + len(self.shared)


def grouped(tasks: Iterable[Task], share: str = "picture") -> tuple[list[Group], list[Task]]:
    """Groups of two tasks or more, and the tasks that share nothing with another (or show no picture).

    share: see `Family.share`.
    """
    alike: dict[tuple[int, tuple[int, ...]], list[Task]] = {}
    alone: list[Task] = []
    for task in tasks:
        picture = task.pair.picture
        # A perturbed text stands before the picture, too; a target right behind it is predicted by its last token.
        # Further pictures would have to run with the suffixes: rare, and not worth it.
        if picture is None or task.added is not None or task.pair.start == picture[1] or task.pair.others:
            alone.append(task)
        else:
            end = task.pair.start if share == "prompt" else picture[1]
            alike.setdefault((task.owner, task.ids[:end]), []).append(task)
    groups = []
    for (_, head), members in alike.items():
        if len(members) == 1:
            alone += members
            continue
        first = members[0].pair.picture
        assert first is not None
        if share == "prompt":
            groups.append(Group((), head, tuple(members), echo=True))
            continue
        # The token that predicts a target's first one stays in the suffix: its hidden state is wanted.
        end = len(head) + common([m.ids[len(head) : m.pair.start - 1] for m in members])
        begin = 0 if share == "start" else first[0]
        groups.append(Group(head[:begin], members[0].ids[begin:end], tuple(members)))
    return groups, alone


def common(rows: Sequence[tuple[int, ...]]) -> int:
    """Length of the longest start that all rows share."""
    low, high = min(rows), max(rows)  # in lexicographic order the first and the last differ the earliest
    return next((k for k, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))


def chunks(items: Sequence[T], size: int, lengths: Sequence[int] = (), switch: int = 0) -> Iterator[Sequence[T]]:
    """`items` in order, at most `size` at a time. lengths: of their sequences; none on either side of `switch`
    (`Family.switch`) come together."""
    at = 0
    while at < len(items):
        end = min(at + size, len(items))
        if switch:
            end = next((k for k in range(at, end) if (lengths[k] > switch) != (lengths[at] > switch)), end)
        yield items[at:end]
        at = end


@dataclass(frozen=True, eq=False)
class Rows:
    """Token ids ready for the model. ids, positions: [R, T]; mask: [R, P + T] or [1, 1, T, P + T], None without
    padding; wanted: flat places of [R x T] whose hidden states predict the targets, in the order of the tasks."""

    ids: Tensor
    positions: Tensor
    mask: Tensor | None
    wanted: Tensor


def packed(
    tasks: Sequence[Task], past: int, device: torch.device, additive: torch.dtype | None = None, echo: bool = False
) -> Rows:
    """The suffixes behind `past` tokens in ONE row without padding: positions restart, no suffix sees another.

    echo: see `Group`. additive: the dtype of a mask of 0 and -max, for attention code that would add a boolean mask as
    0 and 1.
    """
    first = past - echo
    suffixes = [task.ids[first:] for task in tasks]
    lengths = torch.tensor([len(s) for s in suffixes], device=device)
    total = int(lengths.sum())
    block = torch.repeat_interleave(torch.arange(len(tasks), device=device), lengths)
    place = torch.arange(total, device=device)
    own = (block[:, None] == block[None]) & (place[:, None] >= place[None])
    if echo:
        own[:, (lengths.cumsum(0) - lengths)] = False
    mask = torch.cat([own.new_ones(total, past), own], 1)[None, None]
    if additive is not None:
        mask = torch.zeros(mask.shape, dtype=additive, device=device).masked_fill(~mask, torch.finfo(additive).min)
    begin = [0]
    for suffix in suffixes:
        begin.append(begin[-1] + len(suffix))
    wanted = [
        at + task.pair.start - first - 1 + k
        for at, task in zip(begin, tasks, strict=False)
        for k in range(len(task.weights))
    ]
    ids = [[token for suffix in suffixes for token in suffix]]
    positions = [[first + k for suffix in suffixes for k in range(len(suffix))]]
    return Rows(_long(ids, device), _long(positions, device), mask, _long(wanted, device))


def padded(tasks: Sequence[Task], past: int, device: torch.device, pad: int) -> Rows:
    """One right-padded row per task, behind `past` tokens that are already in the cache."""
    suffixes = [task.ids[past:] for task in tasks]
    longest = max(map(len, suffixes))
    ids = [list(s) + [pad] * (longest - len(s)) for s in suffixes]
    mask = None
    if any(len(s) < longest for s in suffixes):
        mask = _long([[1] * (past + len(s)) + [0] * (longest - len(s)) for s in suffixes], device)
    wanted = [
        r * longest + task.pair.start - past - 1 + k for r, task in enumerate(tasks) for k in range(len(task.weights))
    ]
    positions = torch.arange(past, past + longest, device=device)[None].expand(len(tasks), -1)
    return Rows(_long(ids, device), positions, mask, _long(wanted, device))


def _long(values: Any, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=device)
