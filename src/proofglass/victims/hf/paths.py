"""Which path a gradient step takes: the fastest one that was seen to agree with the plain loop.

A path is checked once per model, on first use: loss and gradient of two pairs of the batch at hand, of unequal
lengths, against the same pairs one by one. If it disagrees or fails the next one is taken. `said` tells which and why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from proofglass.errors import is_environment
from proofglass.victims.hf.families.base import Family
from proofglass.victims.hf.memory import out_of_memory
from proofglass.victims.hf.packing import grouped
from proofglass.victims.shared.tasks import Task

RUN = 8  # a shared run up to this long is cheaper to repeat in every suffix than to run in a pass of its own


@dataclass
class PathChoice:
    """run(path, x, rows, need_grad): token NLL and gradient to each slot's x. A path is checked twice, for chats of one
    picture and for chats of several.

    Tolerances: loss 1e-5 (relative; of 0.1 per token for smaller ones), gradient 1e-4 of its largest entry in float32,
    a cosine of 0.999 in half precision, where the plain loop itself is no better.
    """

    model: Any
    family: Family
    run: Callable[[str, Mapping[str, Tensor], list[list[Task]], bool], tuple[list[list[Tensor]], dict[str, Tensor]]]
    said: str = ""
    verdicts: dict[tuple[str, bool], tuple[bool, str]] = field(default_factory=dict)

    def __call__(self, x: Mapping[str, Tensor], rows: list[list[Task]]) -> str:
        """The path for pictures `x` and their tasks."""
        b = next((b for b, row in enumerate(rows) if len(row) > 1), None)
        if b is None:
            self.said = "plain: one pair per picture, nothing to share"
            return "vision"
        if all(task.owner < 0 for row in rows for task in row):
            self.said = "vision: no picture is shown, nothing to share"
            return "vision"
        groups, _ = grouped(rows[b], self.family.share)
        window = self.family.window
        paths, why = self.family.paths, ""
        if not groups:
            paths, why = ("vision",), "the language model shares nothing between these pairs; "
        elif window and max(len(task.ids) for row in rows for task in row) > window:
            paths, why = ("vision",), f"a sliding window of {window} tokens is shorter than the sequence; "
        elif self.family.switch and max(len(task.ids) for row in rows for task in row) > self.family.switch:
            paths, why = ("vision",), f"beyond {self.family.switch} tokens the rotary frequencies are others; "
        elif len(groups[0].shared) > RUN:
            paths = tuple(path for path in paths if path != "packed")
        examples = self._examples(rows) or {len(rows[b][0].pair.slots) > 1: (b, _unlike(rows[b]))}
        for path in paths:
            verdict = self._verdict(path, x, examples)
            if verdict is None:
                self.said = "plain: the plain gradient is zero or not finite, so nothing can be checked against it"
                return "plain"
            agrees, reason = verdict
            if agrees:
                self.said = f"{path}: {why}{reason}"
                return path
            why += f"{path}: {reason}; "
        self.said = f"plain: {why}no sharing path agrees"
        return "plain"

    def _examples(self, rows: list[list[Task]]) -> dict[bool, tuple[int, list[Task]]]:
        """Two tasks that share work, and their picture: of those that show one picture (False), and several (True)."""
        found: dict[bool, tuple[int, list[Task]]] = {}
        kinds = {len(task.pair.slots) > 1 for row in rows for task in row if task.pair.slots}
        for b, row in enumerate(rows):
            if kinds <= set(found):
                break
            for group in grouped(row, self.family.share)[0]:
                found.setdefault(len(group.tasks[0].pair.slots) > 1, (b, _unlike(group.tasks)))
        return found

    def _verdict(
        self, path: str, x: Mapping[str, Tensor], examples: Mapping[bool, tuple[int, list[Task]]]
    ) -> tuple[bool, str] | None:
        """Whether `path` agrees with the plain loop on all examples, and in words. None: no gradient to compare."""
        for several, (b, pair) in examples.items():
            if (path, several) not in self.verdicts:
                verdict = self._compare(path, {slot: each[b : b + 1] for slot, each in x.items()}, pair)
                if verdict is None:
                    return None
                self.verdicts[path, several] = verdict
        found = [self.verdicts[path, several] for several in examples]
        return next((verdict for verdict in found if not verdict[0]), found[0])

    def _compare(self, path: str, x: Mapping[str, Tensor], pair: list[Task]) -> tuple[bool, str] | None:
        """Whether `path` gives the plain loss and gradient of two tasks, and in words. None: no gradient to compare."""
        tasks = [_bare(task) for task in pair]
        wanted, slopes = self.run("plain", x, [tasks], True)
        exact = _flat(slopes)
        largest = exact.abs().max()
        if not 0 < float(largest) < float("inf"):
            return None
        try:
            found, slopes = self.run(path, x, [tasks], True)
        except Exception as error:
            if out_of_memory(error) or is_environment(error):
                raise  # says nothing about the path
            return False, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        grad = _flat(slopes)
        loss, expected = (torch.cat(rows[0]).mean() for rows in (found, wanted))
        off = float((loss - expected).abs() / expected.clamp(min=0.1))  # a loss near 0 is a difference of large logits
        if self.family.dtype in (torch.float32, torch.float64):
            far = float((grad - exact).abs().max() / largest)
            agrees, figure = off <= 1e-5 and far <= 1e-4, f"gradient {far:.0e}"
        else:
            near = float(F.cosine_similarity(grad, exact, dim=0))
            agrees, figure = near >= 0.999, f"gradient cosine {near:.5f}"
        return agrees, f"{'agrees' if agrees else 'disagrees'} with the plain loop, loss {off:.0e}, {figure}"


def _bare(task: Task) -> Task:
    """`task` on a picture of its own, hard labels, every token alike: a teacher may leave no gradient to compare."""
    pair = dataclasses.replace(task.pair, teacher=None, direction=None)
    return Task(pair, min(task.owner, 0), (1 / len(task.weights),) * len(task.weights))


def _flat(slopes: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([each.flatten() for each in slopes.values()])


def _unlike(tasks: Sequence[Task]) -> list[Task]:
    """Two tasks, of unequal lengths if there are such."""
    first = tasks[0]
    return [first, next((t for t in tasks if len(t.ids) != len(first.ids)), tasks[1])]
