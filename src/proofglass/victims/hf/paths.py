"""Which path a gradient step takes: the fastest one that was seen to agree with the plain loop.

A path is checked once per model, on first use: loss and gradient of two pairs of the batch at hand, of unequal
lengths, against the same pairs one by one. If it disagrees or fails the next one is taken. `said` tells which and why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from proofglass.errors import is_environment
from proofglass.victims.hf.families.base import Family
from proofglass.victims.hf.memory import out_of_memory
from proofglass.victims.hf.packing import Task, grouped

RUN = 8  # a shared run up to this long is cheaper to repeat in every suffix than to run in a pass of its own


@dataclass
class PathChoice:
    """run(path, x, rows, need_grad): token NLL and gradient to x.

    Tolerances: loss 1e-5 (relative; of 0.1 per token for smaller ones), gradient 1e-4 of its largest entry in float32,
    a cosine of 0.999 in half precision, where the plain loop itself is no better.
    """

    model: Any
    family: Family
    run: Callable[[str, Tensor, list[list[Task]], bool], tuple[list[list[Tensor]], Tensor]]
    said: str = ""
    verdicts: dict[str, tuple[bool, str]] = field(default_factory=dict)

    def __call__(self, x: Tensor, rows: list[list[Task]]) -> str:
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
        pair = _unlike(groups[0].tasks if groups else rows[b])
        for path in paths:
            if path not in self.verdicts:
                verdict = self._compare(path, x[b : b + 1], pair)
                if verdict is None:
                    break
                self.verdicts[path] = verdict
            agrees, reason = self.verdicts[path]
            if agrees:
                self.said = f"{path}: {why}{reason}"
                return path
            why += f"{path}: {reason}; "
        else:
            self.said = f"plain: {why}no sharing path agrees"
            return "plain"
        self.said = "plain: the plain gradient is zero or not finite, so nothing can be checked against it"
        return "plain"

    def _compare(self, path: str, x: Tensor, pair: list[Task]) -> tuple[bool, str] | None:
        """Whether `path` gives the plain loss and gradient of two tasks, and in words. None: no gradient to compare."""
        tasks = [_bare(task) for task in pair]
        wanted, exact = self.run("plain", x, [tasks], True)
        largest = exact.abs().max()
        if not 0 < float(largest) < float("inf"):
            return None
        try:
            found, grad = self.run(path, x, [tasks], True)
        except Exception as error:
            if out_of_memory(error) or is_environment(error):
                raise  # says nothing about the path
            return False, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        loss, expected = (torch.cat(rows[0]).mean() for rows in (found, wanted))
        off = float((loss - expected).abs() / expected.clamp(min=0.1))  # a loss near 0 is a difference of large logits
        if self.family.dtype in (torch.float32, torch.float64):
            far = float((grad - exact).abs().max() / largest)
            agrees, figure = off <= 1e-5 and far <= 1e-4, f"gradient {far:.0e}"
        else:
            near = float(F.cosine_similarity(grad.flatten(), exact.flatten(), dim=0))
            agrees, figure = near >= 0.999, f"gradient cosine {near:.5f}"
        return agrees, f"{'agrees' if agrees else 'disagrees'} with the plain loop, loss {off:.0e}, {figure}"


def _bare(task: Task) -> Task:
    """`task` on a picture of its own, hard labels, every token alike: a teacher may leave no gradient to compare."""
    pair = dataclasses.replace(task.pair, teacher=None)
    return Task(pair, min(task.owner, 0), (1 / len(task.weights),) * len(task.weights))


def _unlike(tasks: Sequence[Task]) -> list[Task]:
    """Two tasks, of unequal lengths if there are such."""
    first = tasks[0]
    return [first, next((t for t in tasks if len(t.ids) != len(first.ids)), tasks[1])]
