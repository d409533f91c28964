"""How the pairs of a picture are laid out: which tokens they share, which rows they are packed or padded into.

A sequence is [text before] [picture] [suffix]; further pictures and the text between them belong to what is called the
picture here. Pairs that are alike up to their last picture's last token form a `Group`; what their suffixes have in
common, too, is run once. Tokens are compared as ids: cutting the text would change the
tokens at the seam.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from proofglass.victims.shared.tasks import Task


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
    alike: dict[Any, list[Task]] = {}
    alone: list[Task] = []
    for task in tasks:
        slots = task.pair.slots
        # A perturbed text stands before the picture, too; a target right behind it is predicted by its last token.
        if not slots or task.added is not None or task.pair.start == slots[-1].last:
            alone.append(task)
        else:
            end = task.pair.start if share == "prompt" else slots[-1].last
            alike.setdefault((task.owner, task.pair.shown, task.ids[:end]), []).append(task)
    groups = []
    for (_, _, head), members in alike.items():
        if len(members) == 1:
            alone += members
            continue
        if share == "prompt":
            groups.append(Group((), head, tuple(members), echo=True))
            continue
        # The token that predicts a target's first one stays in the suffix: its hidden state is wanted.
        end = len(head) + common([m.ids[len(head) : m.pair.start - 1] for m in members])
        begin = 0 if share == "start" else members[0].pair.slots[0].first
        groups.append(Group(head[:begin], members[0].ids[begin:end], tuple(members)))
    return groups, alone


def common(rows: Sequence[tuple[int, ...]]) -> int:
    """Length of the longest start that all rows share."""
    low, high = min(rows), max(rows)  # in lexicographic order the first and the last differ the earliest
    return next((k for k, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))


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


def behind(
    tasks: Sequence[Task],
    starts: Sequence[int],
    device: torch.device,
    additive: torch.dtype | None = None,
    pad: int = 0,
) -> Rows:
    """One right-padded row per task, from its own token `starts[k]` on, behind keys of the `max(starts)` tokens that
    stand before one of them at the most. A row's last token is left out: it predicts nothing."""
    past = max(starts)
    suffixes = [task.ids[start:-1] for task, start in zip(tasks, starts, strict=True)]
    longest = max(map(len, suffixes))
    ids = [list(s) + [pad] * (longest - len(s)) for s in suffixes]
    first = _long(starts, device)
    place = torch.arange(longest, device=device)
    kept = (torch.arange(past, device=device) < first[:, None])[:, None].expand(-1, longest, -1)
    own = (place[:, None] >= place).expand(len(tasks), -1, -1)
    mask = torch.cat([kept, own], 2)[:, None]
    if additive is not None:
        mask = torch.zeros(mask.shape, dtype=additive, device=device).masked_fill(~mask, torch.finfo(additive).min)
    wanted = [
        r * longest + task.pair.start - start - 1 + k
        for r, (task, start) in enumerate(zip(tasks, starts, strict=True))
        for k in range(len(task.weights))
    ]
    return Rows(_long(ids, device), first[:, None] + place, mask, _long(wanted, device))


def _long(values: Any, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=device)
