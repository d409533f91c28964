"""The tensors of the pictures that are still running."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.engine.memory import Memory
from proofglass.engine.points import rows_of, wide
from proofglass.engine.steps import State
from proofglass.engine.variables import On

if TYPE_CHECKING:
    import torch


@dataclass
class Batch:
    """A row per running picture; variables by name.

    x: iterates; clean: what the constraints lie around; states: of the step rule of each variable; memory: the
    objective's. kept, rank: the iterate that the selector prefers so far, and what it goes by (lower is better).
    """

    x: dict[str, torch.Tensor]
    clean: dict[str, torch.Tensor]
    states: dict[str, State]
    memory: Memory
    kept: dict[str, torch.Tensor]
    rank: torch.Tensor

    @classmethod
    def begun(
        cls, x: dict[str, torch.Tensor], clean: dict[str, torch.Tensor], moves: Mapping[str, On], memory: Memory
    ) -> Batch:
        """At the first iterates `x`, nothing preferred yet."""
        import torch

        one = next(iter(x.values()))
        states = {name: on.step.init(x[name]) for name, on in moves.items()}
        kept = {name: tensor.clone() for name, tensor in x.items()}
        return cls(x, clean, states, memory, kept, torch.full((len(one),), math.inf, device=one.device))

    def take(self, places: Sequence[int]) -> Batch:
        """These places of the batch, in this order."""
        rest = list(places)
        return Batch(
            rows_of(self.x, rest),
            rows_of(self.clean, rest),
            {name: rows_of(state, rest) for name, state in self.states.items()},
            rows_of(self.memory, rest),
            rows_of(self.kept, rest),
            self.rank[rest],
        )

    def prefer(self, loss: torch.Tensor) -> None:
        """Keep the iterates whose loss [B] is below what is kept."""
        better = loss < self.rank
        self.kept = {name: x.where(wide(better, x), self.kept[name]) for name, x in self.x.items()}
        self.rank = loss.where(better, self.rank)

    def keep(self, place: int, rank: float | torch.Tensor) -> None:
        """Keep the iterate at `place`, whatever was kept before."""
        for name, x in self.x.items():
            self.kept[name][place] = x[place]
        self.rank[place] = rank

    def tensors(self) -> dict[str, torch.Tensor]:
        """All but the clean pictures, flat, for a checkpoint."""
        return {
            **prefixed("x", self.x),
            **prefixed("kept", self.kept),
            **{f"state/{name}/{part}": t for name, state in self.states.items() for part, t in state.items()},
            **prefixed("memory", self.memory),
            "rank": self.rank,
        }

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor], clean: dict[str, torch.Tensor]) -> Batch:
        """The opposite of `tensors`."""
        states = {name: beneath(f"state/{name}", tensors) for name in clean}
        x, kept = beneath("x", tensors), beneath("kept", tensors)
        return cls(x, clean, states, beneath("memory", tensors), kept, tensors["rank"])


def prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def beneath(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The opposite of `prefixed`, out of a dict with others in it."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
