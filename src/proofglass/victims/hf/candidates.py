"""Losses of many token ids in place of a marked text: what they share (text, pictures, tokens) is run once.

A text attack asks for hundreds of candidates per step that differ from the current text in few tokens. The pictures are
encoded once; keys and values of the prompt, with the current text in it, are kept; a candidate's row begins at the
first token in which it differs, and ends before the last target token, whose hidden state predicts nothing. Rows of
about one length come together, no more tokens at once than a processor's cache holds. The first candidates of a model
are compared with whole rows, one by one; where they disagree, whole rows are taken, and `said` tells why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from proofglass.errors import is_environment
from proofglass.interfaces import Weighting
from proofglass.victims.hf.filling import KeysValues
from proofglass.victims.hf.gradient import GradientPass, Seen, row_of
from proofglass.victims.hf.memory import Batches, out_of_memory
from proofglass.victims.hf.packing import behind, common
from proofglass.victims.shared.prepared import Pair, Prepared
from proofglass.victims.shared.tasks import Task, tasks_of

AGREES = {torch.float32: 1e-5, torch.float64: 1e-5}  # relative; of 0.1 per token for smaller losses
HALF = 2e-2  # half precision rounds
TOKENS = {"cpu": 1024, "cuda": 1 << 16}  # of a batch of rows; a processor's cache holds no more


@dataclass(frozen=True)
class Shared:
    """What the candidates of a pair share. base: the pair with the current text; keys: kept of its tokens up to
    `begin`, before which none differs; slots' pictures are among them."""

    path: str
    base: Pair
    begin: int

    def first(self, task: Task) -> int:
        """The first token that is not the current text's; at the latest the one that predicts a target."""
        return min(common([task.pair.ids, self.base.ids]), task.pair.start - 1)


@dataclass
class Candidates:
    """verdicts: whether a path was seen to agree, by path and number of pictures (0, 1, several). batches: of rows,
    halved where they do not fit into memory."""

    step: GradientPass
    batches: Batches
    said: str = ""
    verdicts: dict[tuple[str, int], tuple[bool, str]] = field(default_factory=dict)

    def forget(self) -> None:
        """The model computes something else from now on."""
        self.verdicts.clear()

    @torch.no_grad()
    def __call__(
        self,
        pixels: object,
        prepared: Prepared,
        candidates: Sequence[Sequence[Sequence[int]]],
        weighting: Weighting,
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
        each = [weighed(self._scored(t.pair, table, seen), table) for t, table in zip(row, tables, strict=True)]
        return torch.stack(each).sum(0)

    def _scored(self, base: Pair, tasks: Sequence[Task], seen: Seen) -> dict[Task, Tensor]:
        """Token NLL of one pair with each of its candidates."""
        shared = self._laid(base, tasks)
        if shared is None or not self._agrees(shared, tasks, seen):
            return self._whole(tasks, seen, self.step.micro)
        return self._behind(shared, tasks, seen)

    # ---- what is shared -------------------------------------------------------------------------------------------

    def _laid(self, base: Pair, tasks: Sequence[Task]) -> Shared | None:
        """How the tasks share what they begin with, None where they cannot."""
        family, pair = self.step.family, tasks[0].pair
        longest = max(len(task.ids) for task in tasks)
        if len(tasks) == 1 or not pair.mark or not pair.mark[0]:
            return self._none("one candidate, or nothing in front of the mark")
        if 0 < family.window < longest or 0 < family.switch < longest:
            return self._none("the sequence is longer than the window of a layer, or than the rotary switch")
        if family.share == "prompt":
            return self._none("in this family a prompt is seen as a whole")
        if not pair.slots and family.crossed:
            return self._none("layers that look at pictures have no keys without any")
        if not pair.slots:
            return Shared("text", base, pair.mark[0])  # keys and values of a text are kept
        if pair.mark[0] < pair.slots[-1].last:
            return self._none("a picture stands behind the mark")
        return Shared("picture", base, 0 if family.share == "start" else pair.slots[0].first)

    def _none(self, why: str) -> Shared | None:
        self.said = f"whole rows: {why}"
        return None

    def _agrees(self, shared: Shared, tasks: Sequence[Task], seen: Seen) -> bool:
        """Whether sharing was seen to give the losses of whole rows on this model."""
        kind = shared.path, min(len(tasks[0].pair.slots), 2)
        if kind not in self.verdicts:
            first = tasks[0]
            other = next((t for t in tasks if shared.first(t) != shared.first(first)), tasks[-1])
            self.verdicts[kind] = self._compared(shared, (first, other), seen)
        agrees, reason = self.verdicts[kind]
        self.said = f"shared {shared.path}: {reason}" if agrees else f"whole rows: {reason}"
        return agrees

    def _compared(self, shared: Shared, tasks: Sequence[Task], seen: Seen) -> tuple[bool, str]:
        wanted = self._whole(tasks, seen, 1)
        try:
            found = self._behind(shared, tasks, seen)
        except Exception as error:
            if out_of_memory(error) or is_environment(error):
                raise  # says nothing about the path
            return False, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        pairs = [(float(found[task].mean()), float(wanted[task].mean())) for task in tasks]
        off = max(abs(a - b) / max(b, 0.1) for a, b in pairs)
        agrees = off <= AGREES.get(self.step.family.dtype, HALF)
        return agrees, f"{'agrees' if agrees else 'disagrees'} with whole rows, loss {off:.0e}"

    # ---- passes ---------------------------------------------------------------------------------------------------

    def _behind(self, shared: Shared, tasks: Sequence[Task], seen: Seen) -> dict[Task, Tensor]:
        """Rows behind the keys of the current text, each from its own first token on."""
        firsts = {task: shared.first(task) for task in tasks}
        ordered = sorted(tasks, key=firsts.__getitem__)
        kept = self._keys(shared, firsts[ordered[-1]], seen)
        longest = max(len(task.ids) - firsts[task] for task in tasks)
        size = max(1, TOKENS.get(self.step.device.type, TOKENS["cpu"]) // longest)
        shown = seen.of(tasks[0])

        def work(part: Sequence[Task]) -> dict[Task, Tensor]:
            starts = [firsts[task] for task in part]
            past = starts[-1]
            rows = behind(part, starts, self.step.device, self.step.additive(), self.step.pad)
            keys = []
            for layer, (k, v) in enumerate(kept):
                # Keys of pictures are no tokens: every row sees all of them.
                end = k.shape[2] if layer in self.step.family.crossed else past
                keys.append((k[:, :, :end].expand(len(part), -1, -1, -1), v[:, :, :end].expand(len(part), -1, -1, -1)))
            return self.step.score(self.step.behind(keys, past, rows, seen, shown), part)

        found: dict[Task, Tensor] = {}
        for each in self.batches(ordered, size, work):
            found |= each
        return found

    def _keys(self, shared: Shared, end: int, seen: Seen) -> KeysValues:
        """Keys and values of the first `end` tokens of the current text's prompt."""
        ids, begin = shared.base.ids, shared.begin
        before = self.step.text_keys(ids[:begin])
        if begin == end:
            return before
        return self.step.fill(ids[begin:end], before, seen, seen.of(Task(shared.base, 0, ())))

    def _whole(self, tasks: Sequence[Task], seen: Seen, size: int) -> dict[Task, Tensor]:
        found: dict[Task, Tensor] = {}
        for part in self.step.chunks(tasks, size):
            found |= self.step.score(self.step.padded(part, seen), part)
        return found


def weighed(nll: Mapping[Task, Tensor], tasks: Iterable[Task]) -> Tensor:
    """[C]: the weighted sum of each task's token NLL."""
    return torch.stack([(nll[task] * nll[task].new_tensor(task.weights)).sum() for task in tasks])
