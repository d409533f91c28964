"""Losses of many token ids in place of a marked text: what they share (text, pictures) is run once.

A text attack asks for hundreds of candidates per step that differ inside their mark only. Their prompts begin alike:
the pictures are encoded once, the keys and values up to the first token that differs are kept, and what follows is
packed into rows as in a gradient step. The first candidates of a model are compared with whole rows, one by one; where
they disagree, whole rows are taken, and `said` tells why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from proofglass.errors import is_environment
from proofglass.interfaces import Weighting
from proofglass.victims.hf.gradient import GradientPass, Seen, row_of, weighted_sum
from proofglass.victims.hf.memory import out_of_memory
from proofglass.victims.hf.packing import Group, common
from proofglass.victims.shared.prepared import Prepared
from proofglass.victims.shared.tasks import Task, tasks_of

AGREES = {torch.float32: 1e-5, torch.float64: 1e-5}  # relative; of 0.1 per token for smaller losses
HALF = 2e-2  # half precision rounds


@dataclass
class Candidates:
    """verdicts: whether a path was seen to agree, by path and number of pictures (0, 1, several)."""

    step: GradientPass
    said: str = ""
    verdicts: dict[tuple[str, int], tuple[bool, str]] = field(default_factory=dict)

    def forget(self) -> None:
        """The model computes something else from now on."""
        self.verdicts.clear()

    @torch.no_grad()
    def __call__(
        self, pixels: object, prepared: Prepared, candidates: Sequence[Sequence[Sequence[int]]], weighting: Weighting
    ) -> Tensor:
        """float [B, C], NaN where a picture has fewer candidates (`WhiteBoxVictim.losses_of`)."""
        x = self.step.checked(pixels, prepared, "losses_of")
        if len(candidates) != len(prepared) or not all(candidates):
            counts = [len(row) for row in candidates]
            raise ValueError(f"candidates: expected some for each of {len(prepared)} pictures, found {counts}")
        losses = [
            self._losses(row_of(x, b), row, own)
            for b, (row, own) in enumerate(zip(tasks_of(prepared, weighting), candidates, strict=True))
        ]
        return pad_sequence(losses, batch_first=True, padding_value=float("nan"))

    def _losses(self, x: Mapping[str, Tensor], row: Sequence[Task], own: Sequence[Sequence[int]]) -> Tensor:
        """Of one picture [C]: all its pairs with each of its candidates."""
        tables = [[Task(t.pair.filled(ids), min(t.owner, 0), t.weights) for ids in own] for t in row]
        _, seen = self.step.see(x, [task for table in tables for task in table])
        nll = {task: tokens for table in tables for task, tokens in self._scored(table, seen).items()}
        each = [[weighted_sum([nll[task]], [task.weights]) for task in table] for table in tables]
        return torch.stack([torch.stack(losses) for losses in each]).sum(0)

    def _scored(self, tasks: Sequence[Task], seen: Seen) -> dict[Task, Tensor]:
        """Token NLL of one pair with each of its candidates."""
        path, group = self._laid(tasks)
        if group is None or not self._agrees(path, group, seen):
            return self._whole(tasks, seen, self.step.micro)
        return self.step.shared(path, group, seen)

    def _laid(self, tasks: Sequence[Task]) -> tuple[str, Group | None]:
        """How the tasks share what they begin with, None where they cannot."""
        family, pair = self.step.family, tasks[0].pair
        end = common([task.ids[: task.pair.start - 1] for task in tasks])
        longest = max(len(task.ids) for task in tasks)
        if len(tasks) == 1 or not end:
            return self._nothing("one candidate, or nothing in front of the mark")
        if 0 < family.window < longest or 0 < family.switch < longest:
            return self._nothing("the sequence is longer than the window of a layer, or than the rotary switch")
        if family.share == "prompt":
            return self._nothing("in this family a prompt is seen as a whole")
        if not pair.slots and family.crossed:
            return self._nothing("layers that look at pictures have no keys without any")
        if not pair.slots:
            return "packed", Group(tasks[0].ids[:end], (), tuple(tasks))  # keys and values of a text are kept
        if end < pair.slots[-1].last:
            return self._nothing("a picture stands behind the mark")
        begin = 0 if family.share == "start" else pair.slots[0].first
        return "prefix", Group(tasks[0].ids[:begin], tasks[0].ids[begin:end], tuple(tasks))

    def _nothing(self, why: str) -> tuple[str, None]:
        self.said = f"whole rows: {why}"
        return "", None

    def _agrees(self, path: str, group: Group, seen: Seen) -> bool:
        """Whether `path` was seen to give the losses of whole rows on this model."""
        kind = path, min(len(group.tasks[0].pair.slots), 2)
        if kind not in self.verdicts:
            first = group.tasks[0]
            other = next((t for t in group.tasks if t.ids != first.ids), group.tasks[1])
            self.verdicts[kind] = self._compared(path, Group(group.text, group.shared, (first, other)), seen)
        agrees, reason = self.verdicts[kind]
        self.said = f"{path if agrees else 'whole rows'}: {reason}"
        return agrees

    def _compared(self, path: str, group: Group, seen: Seen) -> tuple[bool, str]:
        wanted = self._whole(group.tasks, seen, 1)
        try:
            found = self.step.shared(path, group, seen)
        except Exception as error:
            if out_of_memory(error) or is_environment(error):
                raise  # says nothing about the path
            return False, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        pairs = [(float(found[task].mean()), float(wanted[task].mean())) for task in group.tasks]
        off = max(abs(a - b) / max(b, 0.1) for a, b in pairs)
        agrees = off <= AGREES.get(self.step.family.dtype, HALF)
        return agrees, f"{'agrees' if agrees else 'disagrees'} with whole rows, loss {off:.0e}"

    def _whole(self, tasks: Sequence[Task], seen: Seen, size: int) -> dict[Task, Tensor]:
        found: dict[Task, Tensor] = {}
        for part in self.step.chunks(tasks, size):
            found |= self.step.score(self.step.padded(part, seen), part)
        return found
