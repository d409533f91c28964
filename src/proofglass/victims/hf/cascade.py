"""Attention of many rows behind ONE copy of the keys and values that they share.

The usual way copies a shared prefix to every row and reads it once per row and token. Here all rows attend to one copy
in one matrix product, to their own tokens as usual, and the two parts meet in one softmax: the same function (Juravsky
et al. 2024, "Hydragen", arXiv:2402.05099, its decomposition), exact up to the order of sums. Plugged in through
transformers' own `AttentionInterface`, for decoding without gradient only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "proofglass_cascade"
ROOM = 64  # tokens for which a layer's cache holds room


class Lost(RuntimeError):
    """A model's attention does something of its own with keys on their way: it cannot share them."""


class Roomy(DynamicLayer):
    """Keys and values of one layer with room for more: a new token is written behind the others, which stay where they
    are. (The usual layer copies all of them for every token.) Without gradient only: it writes in place."""

    _room: tuple[Tensor, Tensor] | None = None
    before = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.get_seq_length() - self.before
        new = old + key_states.shape[-2]
        if self._room is None or self._room[0].shape[-2] < new:
            self._room = (self._larger(self.keys, key_states, new), self._larger(self.values, value_states, new))
        keys, values = self._room
        keys[..., old:new, :], values[..., old:new, :] = key_states, value_states
        self.keys, self.values = keys[..., :new, :], values[..., :new, :]
        return self.keys, self.values

    def _larger(self, kept: Tensor | None, added: Tensor, tokens: int) -> Tensor:
        room = added.new_empty(*added.shape[:-2], tokens + ROOM, added.shape[-1])
        if kept is not None and kept.numel():
            room[..., : kept.shape[-2], :] = kept
        return room

    def batch_select_indices(self, indices: Tensor) -> None:
        if self.keys is not None and self.keys.numel():
            super().batch_select_indices(indices)
            self._room = None


class Behind(Roomy):
    """A layer's own keys and values of each row, behind `shared` ones [1, heads, P, d] that all rows have."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shared = (keys[0], values[0])
        self.before = keys.shape[-2]

    def get_seq_length(self) -> int:
        return self.before + super().get_seq_length()

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        keys, values = super().update(key_states, value_states)
        keys.shared = self.shared  # type: ignore[attr-defined]
        return keys, values


def behind(prefix: DynamicCache) -> DynamicCache:
    """An empty cache of rows behind what `prefix` holds, one row."""
    cache = DynamicCache()
    layers: list[Any] = prefix.layers
    cache.layers = [Behind(layer.keys, layer.values) for layer in layers]
    cache.layer_class_to_replicate = Roomy
    return cache


@contextlib.contextmanager
def cascading(config: Any) -> Iterator[None]:
    """While open, the attention of the model with this configuration looks for shared keys."""
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """An attention function as transformers calls it. query: [R, heads, q, d]; key, value: [R, key heads, T, d], the
    rows' own; attention_mask: [R or 1, 1, q, P + T] or None. Raises Lost if `key` came without the shared ones."""
    shared = getattr(key, "shared", None)
    if shared is None or more.get("softcap") is not None or more.get("s_aux") is not None:
        raise Lost(f"{type(module).__name__}: the keys that rows share did not arrive")
    if query.shape[2] > 1:  # once per reply: the shared keys are laid out for this call only
        keys, values = (
            torch.cat([part[None].expand(len(query), -1, -1, -1), own], 2)
            for part, own in zip(shared, (key, value), strict=True)
        )
        if attention_mask is None:
            attention_mask = _causal(query, keys)
        return sdpa_attention_forward(module, query, keys, values, attention_mask, scaling=scaling, **more)
    return _one_token(query, key, value, shared, attention_mask, scaling or query.shape[-1] ** -0.5), None


def _one_token(
    query: Tensor, key: Tensor, value: Tensor, shared: Sequence[Tensor], mask: Tensor | None, scaling: float
) -> Tensor:
    rows, heads, _, width = query.shape
    groups = key.shape[1]
    each = heads // groups
    asked = query.reshape(rows, groups, each, width)
    far = asked.transpose(0, 1).reshape(groups, rows * each, width) @ shared[0].mT
    past = far.shape[-1]
    far = far.view(groups, rows, each, past).transpose(0, 1)
    scores = torch.cat([far, asked @ key.mT], -1) * scaling
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    shares = scores.float().softmax(-1).to(value.dtype)
    from_far = shares[..., :past].transpose(0, 1).reshape(groups, rows * each, past) @ shared[1]
    found = from_far.view(groups, rows, each, -1).transpose(0, 1) + shares[..., past:] @ value
    return found.reshape(rows, 1, heads, -1)  # values may be narrower than keys


def _causal(query: Tensor, keys: Tensor) -> Tensor:
    asked, every = query.shape[2], keys.shape[2]
    return torch.ones(asked, every, dtype=torch.bool, device=query.device).tril(every - asked)[None, None]


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
