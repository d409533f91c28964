"""Weights that learn: one loop for the testbed's recipes and for defenses that are trained in place.

What a step learns from is a function of its number alone, and a checkpoint holds weights, optimiser and step bit for
bit: a stopped training goes on as if nothing had been (on a CPU to the last bit).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.engine.checkpoints import Slot
from proofglass.engine.seeds import stream
from proofglass.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

Parts = Callable[[int], Iterable["Tensor"]]
"""Step -> its loss in parts, each differentiated before the next one is made: one graph is held at a time."""
Seen = Callable[[int, float, float], None]
"""(steps done, loss of the last one, seconds so far), after every step."""


@dataclass(frozen=True)
class Recipe:
    """AdamW, gradient clip 1, warm-up, a flat part, then a cosine down to `end` of the rate."""

    steps: int
    batch: int
    rate: float
    warm_up: int = 40
    flat: float = 0.0
    end: float = 0.02
    decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)

    def factor(self, step: int) -> float:
        done = step / self.steps
        shape = 1.0
        if done > self.flat:
            shape = self.end + (1 - self.end) * 0.5 * (1 + math.cos(math.pi * (done - self.flat) / (1 - self.flat)))
        return min(1.0, (step + 1) / max(1, self.warm_up)) * shape


def fit(
    parts: Parts,
    recipe: Recipe,
    groups: Iterable[tuple[Iterable[nn.Parameter], float]],
    *,
    seen: Seen = lambda done, loss, seconds: None,
    slot: Slot | None = None,
    named: Callable[[int], str] = lambda step: "",
) -> float:
    """Minimise the loss of `parts` over groups of (parameters, factor on the rate). Returns seconds, those before a
    resume included.

    slot: where checkpoints lie and how often one is written. named(step): what the step learns from, for the error.
    Raises UsageError for a loss, a gradient or weights that are not finite; the checkpoint before that stays.
    """
    import torch

    groups = [([p for p in parameters if p.requires_grad], scale) for parameters, scale in groups]
    everything = [p for parameters, _ in groups for p in parameters]
    optimiser = torch.optim.AdamW(
        [{"params": parameters, "lr": recipe.rate} for parameters, _ in groups],
        weight_decay=recipe.decay,
        betas=recipe.betas,
    )
    first, before = (0, 0.0) if slot is None else _restored(slot, optimiser, everything)
    began = time.time() - before
    for step in range(first, recipe.steps):
        for group, (_, scale) in zip(optimiser.param_groups, groups, strict=True):
            group["lr"] = recipe.rate * scale * recipe.factor(step)
        loss = 0.0
        for part in parts(step):
            part.backward()
            loss += part.item()
        norm = float(torch.nn.utils.clip_grad_norm_(everything, 1.0))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise _not_finite(f"loss {loss:g}, gradient norm {norm:g}", step, named(step), slot)
        optimiser.step()
        optimiser.zero_grad()
        seen(step + 1, loss, time.time() - began)
        if slot is not None and ((step + 1) % slot.every == 0 or step + 1 == recipe.steps):
            if not all(bool(p.isfinite().all()) for p in everything):
                raise _not_finite("weights that are no numbers", step, named(step), slot)
            _keep(slot, optimiser, everything, step + 1, time.time() - began)
    return time.time() - began


def drawn(seed: int, step: int, batch: int, rows: int) -> list[int]:
    """Which of `rows` rows step `step` learns from: the passes over all rows, each in an order of its own, cut into
    batches. A function of its arguments alone."""
    return drawn_from(seed, step * batch, (step + 1) * batch, rows)


def drawn_from(seed: int, first: int, last: int, rows: int) -> list[int]:
    """The rows at the places `first` to `last` (not included) of the endless sequence of passes over all rows."""
    import torch

    if rows < 1:
        raise ValueError(f"rows: expected at least one, found {rows}")
    found: list[int] = []
    for number in range(first // rows, (last - 1) // rows + 1 if last > first else first // rows):
        order = torch.randperm(rows, generator=stream(seed, "pass", number)).tolist()
        found += order[max(first - number * rows, 0) : last - number * rows]
    return found


def _keep(slot: Slot, optimiser: Optimizer, everything: Sequence[nn.Parameter], step: int, seconds: float) -> None:
    tensors = {f"weights.{k}": p.detach() for k, p in enumerate(everything)}
    for k, p in enumerate(everything):
        tensors |= {f"{name}.{k}": value for name, value in optimiser.state[p].items()}
    slot.save(tensors, {"step": step, "seconds": seconds})


def _restored(slot: Slot, optimiser: Optimizer, everything: Sequence[nn.Parameter]) -> tuple[int, float]:
    """Steps and seconds of the checkpoint, whose weights and moments are taken; (0, 0) without one."""
    import torch

    found = slot.load()
    if found is None:
        if slot.file.is_file():
            logging.getLogger("proofglass").warning(
                "%s: damaged, or of another training; it is not used, and training begins anew", slot.file
            )
        return 0, 0.0
    tensors, facts = found
    with torch.no_grad():
        for k, p in enumerate(everything):
            p.copy_(tensors.pop(f"weights.{k}"))
    for name, value in tensors.items():
        kind, _, number = name.rpartition(".")
        p = everything[int(number)]
        optimiser.state[p][kind] = value if kind == "step" else value.to(p.device)
    return int(facts["step"]), float(facts["seconds"])


def _not_finite(what: str, step: int, rows: str, slot: Slot | None) -> UsageError:
    kept = "" if slot is None else f" The checkpoint before it stays at {slot.file}."
    return UsageError(
        f"training: step {step + 1}: {what}{f', rows {rows}' if rows else ''}; take a lower rate, or leave out what is "
        f"odd in these rows.{kept}"
    )
