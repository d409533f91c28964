"""Inside the language model: the state of a prompt's last token layer by layer, and vectors added to layers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from proofglass.types import Chat
from proofglass.victims.shared.choosing import first_tokens
from proofglass.victims.shared.tasks import chunks

if TYPE_CHECKING:
    from proofglass.victims.hf.model import HFModel
    from proofglass.victims.shared.prepared import Prompt


def next_token_logits(model: HFModel, chats: Sequence[Chat], batch: int) -> Tensor:
    """float32 [n, V]: logits of the first token of each reply, without any decoding rule."""
    parts = [model.family.head(hidden[:, -1]).float() for hidden in _prompts(model, chats, batch)]
    return torch.cat(parts)


@torch.no_grad()
def first_chances(model: HFModel, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[dict[str, float]]:
    """Per prompt: choice -> probability that the reply begins with its first token, without any decoding rule. A choice
    is tokenised as a reply is (`Chats.tokens`); those that share their first token are told apart by none, and left
    out."""
    first = first_tokens(choices, model.chats.tokens)
    hidden = model.prefill(prompts)[:, -1]
    chances = model.family.head(hidden).float().softmax(-1)
    return [dict(zip(first, row, strict=True)) for row in chances[:, list(first.values())].tolist()]


def hidden_states(model: HFModel, chats: Sequence[Chat], layers: Sequence[int], batch: int) -> Tensor:
    """float32 [n, len(layers), d]: what each of these decoder layers makes of each prompt's last token."""
    blocks = _blocks(model, layers)
    caught: dict[int, Tensor] = {}

    def catch(place: int) -> Any:
        def hook(_module: Any, _given: Any, output: Any) -> None:
            caught[place] = _states(output)[:, -1].float()

        return hook

    parts = []
    handles = [block.register_forward_hook(catch(k)) for k, block in enumerate(blocks)]
    try:
        for _ in _prompts(model, chats, batch):
            parts.append(torch.stack([caught[k].to(model.device) for k in range(len(blocks))], 1))
    finally:
        for handle in handles:
            handle.remove()
    return torch.cat(parts)


@contextlib.contextmanager
def steering(model: HFModel, vectors: Mapping[int, Tensor]) -> Iterator[None]:
    """While open, vectors[layer] [d] is added to what that decoder layer makes of every token: in replies, losses and
    gradients alike. Raises ValueError for a layer that is not there or a vector of another width."""
    blocks = _blocks(model, list(vectors))
    width = model.embedding_width
    for layer, vector in vectors.items():
        if tuple(vector.shape) != (width,):
            raise ValueError(f"vectors[{layer}]: expected shape [{width}], found {list(vector.shape)}")

    def add(vector: Tensor) -> Any:
        def hook(_module: Any, _given: Any, output: Any) -> Any:
            states = _states(output)
            moved = states + vector.to(states)
            return moved if isinstance(output, Tensor) else (moved, *output[1:])

        return hook

    handles = [block.register_forward_hook(add(v)) for block, v in zip(blocks, vectors.values(), strict=True)]
    model.forget()  # keys and values of texts were made by the model as it was
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        model.forget()


def _states(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def _blocks(model: HFModel, layers: Sequence[int]) -> list[Any]:
    every = model.family.layers
    for layer in layers:
        if not 0 <= layer < len(every):
            raise ValueError(f"layer: expected 0 to {len(every) - 1}, found {layer}")
    return [every[layer] for layer in layers]


@torch.no_grad()
def _prompts(model: HFModel, chats: Sequence[Chat], batch: int) -> Iterator[Tensor]:
    """Hidden states of prompts, batch by batch; the last one of a row belongs to its last token."""
    prompts = [model.encode_chat(chat) for chat in chats]
    for part in chunks(prompts, batch, [len(prompt.ids) for prompt in prompts], model.family.switch):
        yield from model.batches(part, batch, model.prefill)
