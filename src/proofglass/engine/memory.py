"""What an objective remembers from step to step: tensors by name, batch first, handed in and given back.

No objective changes itself, so a memory is sliced, repeated, kept in a checkpoint and begun anew like the rest of a
search's state, however deep inside other objectives it belongs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import torch

Memory: TypeAlias = "Mapping[str, torch.Tensor]"
NOTHING: Memory = {}


def joined(memories: Sequence[Memory]) -> Memory:
    """The memories of several objectives as one: "0.name", "1.name", ..."""
    return {f"{k}.{name}": tensor for k, memory in enumerate(memories) for name, tensor in memory.items()}


def part(memory: Memory, k: int) -> Memory:
    """The memory of objective `k` out of a joined one."""
    return {name.partition(".")[2]: t for name, t in memory.items() if name.partition(".")[0] == str(k)}


def repeated(memory: Memory, count: int) -> dict[str, torch.Tensor]:
    """Every row `count` times in a row: [B, ...] -> [B count, ...]."""
    return {name: tensor.repeat_interleave(count, 0) for name, tensor in memory.items()}
