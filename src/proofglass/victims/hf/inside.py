"""Inside the language model: a prompt's last token layer by layer, its gradient, and layers that are changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from proofglass.interfaces import Change, in_form_of
from proofglass.types import Chat
from proofglass.victims.shared.choosing import first_tokens
from proofglass.victims.shared.tasks import chunks, perturbations, tasks_of

if TYPE_CHECKING:
    from proofglass.victims.hf.model import HFModel
    from proofglass.victims.shared.prepared import Prepared, Prompt


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
    parts = []
    with _caught(model, layers) as caught:
        for _ in _prompts(model, chats, batch):
            parts.append(torch.stack([states[:, -1].float().to(model.device) for states in caught()], 1))
    return torch.cat(parts)


def prompt_states(
    model: HFModel,
    pixels: Any,
    prepared: Prepared,
    layers: Sequence[int],
    along: Tensor | None,
    text: Sequence[Sequence[Tensor]] | None,
) -> tuple[Tensor, Any]:
    """What these layers make of the last prompt token of every pair, float32 [n, len(layers), d], and the gradient to
    `pixels` of the sum of states x `along` (None without)."""
    step, slopes = model.step, along is not None
    x = step.checked(pixels, prepared, "prompt_states")
    if slopes and not model.family.sees_images:
        raise ValueError("pixels: a text-only model has no gradient to them")
    added = None if text is None else perturbations(text, prepared, model.embedding_width, step.device, False)
    found: list[Tensor] = []
    grads: dict[str, list[Tensor]] = {slot: [] for slot in x}
    for these in chunks(range(len(prepared)), max(1, step.images_per_pass // max(1, len(x)))):
        leaves = {slot: each[these[0] : these[-1] + 1].detach().requires_grad_(slopes) for slot, each in x.items()}
        rows = tasks_of(prepared.rows(these), "sum", None if added is None else [added[b] for b in these])
        prompts = [replace(task, weights=()) for row in rows for task in row]
        with torch.set_grad_enabled(slopes):
            cuts, seen = step.see(leaves, prompts)
            for part in step.chunks(prompts, max(step.micro, len(these))):
                with _caught(model, layers) as caught:
                    ends = step.ends(part, seen)
                states = torch.stack([each[ends].float() for each in caught()], 1)
                if along is not None and states.requires_grad:
                    at = sum(map(len, found))
                    (states * along[at : at + len(part)].to(states)).sum().backward()
                found.append(states.detach())
        for features, leaf in cuts:
            if leaf.grad is not None:
                features.backward(leaf.grad)
        for slot, leaf in leaves.items():
            grads[slot].append(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)
    if not slopes:
        return torch.cat(found), None
    return torch.cat(found), in_form_of(pixels, {slot: torch.cat(parts) for slot, parts in grads.items()})


@contextlib.contextmanager
def _caught(model: HFModel, layers: Sequence[int]) -> Iterator[Callable[[], list[Tensor]]]:
    """While open, what it gives are the states [R, T, d] that these layers made in the last pass."""
    caught: dict[int, Tensor] = {}

    def catch(place: int) -> Any:
        def hook(_module: Any, _given: Any, output: Any) -> None:
            caught[place] = _states(output)

        return hook

    handles = [block.register_forward_hook(catch(k)) for k, block in enumerate(_blocks(model, layers))]
    try:
        yield lambda: [caught[k] for k in range(len(layers))]
    finally:
        for handle in handles:
            handle.remove()


def read_out(model: HFModel, states: Tensor) -> Tensor:
    """float32 logits that the last normalisation and the head make of the states of any layer."""
    logits: Tensor = model.family.head(model.family.norm(states.to(model.device, model.family.dtype)))
    return logits.float()


@contextlib.contextmanager
def steering(model: HFModel, vectors: Mapping[int, Tensor | Change]) -> Iterator[None]:
    """While open, vectors[layer] [d] is added to what that decoder layer makes of every token: in replies, losses and
    gradients alike; a function changes the tokens that speak. Raises ValueError for a layer that is not there or a
    vector of another width."""
    blocks = _blocks(model, list(vectors))
    width = model.embedding_width
    for layer, vector in vectors.items():
        if isinstance(vector, Tensor) and tuple(vector.shape) != (width,):
            raise ValueError(f"vectors[{layer}]: expected shape [{width}], found {list(vector.shape)}")

    def moved(vector: Tensor | Change, states: Tensor) -> Tensor:
        if isinstance(vector, Tensor):
            return states + vector.to(states)
        if model.family.spoken is None or not len(model.family.spoken):
            return states
        flat, places = states.flatten(0, 1), model.family.spoken
        return flat.index_copy(0, places, vector(flat[places]).to(states)).view_as(states)

    def change(vector: Tensor | Change) -> Any:
        def hook(_module: Any, _given: Any, output: Any) -> Any:
            found = moved(vector, _states(output))
            return found if isinstance(output, Tensor) else (found, *output[1:])

        return hook

    handles = [block.register_forward_hook(change(v)) for block, v in zip(blocks, vectors.values(), strict=True)]
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
