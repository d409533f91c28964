"""Keys and values of a prefix, and nothing else of its pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicCache

KeysValues = list[tuple[Tensor, Tensor]]


class Full(Exception):
    """The last layer's keys and values are there."""


class Filling(DynamicCache):
    """Ends a forward pass once its last layer's keys and values exist: nobody reads that pass's hidden states."""

    def __init__(self, before: KeysValues, layers: int) -> None:
        super().__init__()
        self.last = -1
        for layer, (keys, values) in enumerate(before):
            self.update(keys, values, layer)
        self.last = layers - 1

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        found = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        if layer_idx == self.last:
            raise Full
        return found
