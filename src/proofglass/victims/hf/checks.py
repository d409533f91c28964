"""Is the adapter true to the model? Figures on one model, against plain transformers and the official processor.

`proofglass victims check` prints them for a user's own weights; the conformance suite asserts them for a tiny model of
every family; the table of families in the docs is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import ProcessorMixin

from proofglass.types import Ask, Chat, Image, Settings
from proofglass.victims.hf.model import HFModel
from proofglass.victims.hf.twins.base import official, pillow
from proofglass.victims.shared.prepared import Prepared

STEPS = (3e-3, 1e-3, 3e-4, 1e-4)  # of finite differences
SIDES = (16, 420)  # of the odd sizes on which processors are compared


def odd_pictures(n: int, seed: int = 0, sides: tuple[int, int] = SIDES) -> list[Image]:
    """n pictures of odd sizes: noise, a smooth slope and hard edges laid over each other."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        height, width = (int(v) for v in random.integers(*sides, 2))
        rows, columns = np.mgrid[0:height, 0:width]
        slope = 255 * (rows / height + columns / width) / 2
        noise = random.integers(0, 256, (height, width, 3))
        edges = 255 * ((rows // 7 + columns // 5) % 2)
        mix = random.dirichlet((1, 1, 1))
        levels = mix[0] * slope[..., None] + mix[1] * noise + mix[2] * edges[..., None]
        found.append(Image.from_array(levels.round().clip(0, 255).astype(np.uint8)))
    return found


def official_inputs(model: HFModel, chat: Chat) -> dict[str, Tensor]:
    """What a user of transformers gets for a chat by default: all that the plain model is called with.

    By the folder's own processor and chat template in one call, `processor.apply_chat_template(tokenize=True)`. Where
    the folder brings no template, or its processor is older than templates: by the processor on our text. Where it
    describes no processor of text and pictures: our ids, and what its image processor makes of the pictures.
    """
    chats, images = model.chats, [pillow(image.array()) for image in chat.images]
    if chats.full_processor is None:
        found: Any = _bare(model, chat, images)
    elif chats.template_source == "folder" and model.family.applies:
        # Of the base class: SmolVLM's own first asks its part for videos, which is not loaded.
        found = ProcessorMixin.apply_chat_template(
            chats.full_processor,
            _with(chats.messages(chat), images),
            chat_template=chats.own_template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
    else:
        found = model.family.official(chats.full_processor, chats.render(chat), images)
    return {name: value.to(model.device) for name, value in found.items() if isinstance(value, Tensor)}


def _with(messages: Sequence[dict[str, Any]], images: Sequence[Any]) -> list[dict[str, Any]]:
    """`messages` with the pictures in the places that stand for them."""
    left = iter(images)
    return [
        message
        if isinstance(message["content"], str)
        else {
            **message,
            "content": [
                {**part, "image": next(left)} if part["type"] == "image" else part for part in message["content"]
            ],
        }
        for message in messages
    ]


def in_two_calls(model: HFModel, chat: Chat) -> list[int] | None:
    """Token ids by `processor(text=..., images=...)` on the rendered chat, as older model cards write it; None where
    that is not another way (`official_inputs`)."""
    chats, images = model.chats, [pillow(image.array()) for image in chat.images]
    if chats.full_processor is None or chats.template_source != "folder" or not model.family.applies:
        return None
    text = chats.render(chat, chats.own_template)
    found = chats.full_processor(text=[text], images=[images] if images else None, return_tensors="pt")
    return list(found["input_ids"][0].tolist())


def _bare(model: HFModel, chat: Chat, images: Sequence[Any]) -> dict[str, Tensor]:
    ids = torch.tensor([model.encode_chat(chat).ids])
    values = dict(official(model.processor, images)) if images else {}
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **model.family.bare(ids, values)}


def plain_loss(model: HFModel, chat: Chat, target: str, pixels: Tensor | None = None, rounded: bool = True) -> Tensor:
    """Plain transformers: one forward pass with labels, the mean over the target's tokens. pixels: of the chat's first
    picture, float [1, 3, h, w], through the twin, with gradient; None: the official processor's own values."""
    inputs = official_inputs(model, chat)
    answer = list(model.tokenizer(target, add_special_tokens=False)["input_ids"])
    if pixels is not None:
        assert model.twin is not None
        for name, value in model.twin.values(pixels, rounded).items():
            if value.is_floating_point():
                inputs[name] = value.reshape(inputs[name].shape)
    inputs = {name: v.to(model.model.dtype) if v.is_floating_point() else v for name, v in inputs.items()}
    start = inputs["input_ids"].shape[1]
    tokens = torch.tensor([answer], device=model.device)
    inputs = {name: _continued(model, name, value, start, tokens) for name, value in inputs.items()}
    labels = torch.cat([torch.full((1, start), -100, device=model.device), tokens], 1)
    return model.family.plain_loss(inputs, labels)


def _continued(model: HFModel, name: str, value: Tensor, start: int, answer: Tensor) -> Tensor:
    """A per-token input, made longer by the target's tokens."""
    if name == "input_ids":
        return torch.cat([value, answer], 1)
    if value.dim() < 2 or value.shape[:2] != (1, start):
        return value
    last = value[:, -1:].expand(-1, answer.shape[1], *value.shape[2:])
    if name in model.family.continues:
        last = torch.full_like(last, model.family.continues[name])
    return torch.cat([value, last], 1)


def ids_agree(model: HFModel, chats: Sequence[Chat]) -> bool:
    """Whether our token ids are those of the folder's own processor."""
    return all(
        list(model.encode_chat(chat).ids) == official_inputs(model, chat)["input_ids"][0].tolist() for chat in chats
    )


def loss_difference(model: HFModel, pairs: Sequence[tuple[Chat, str]]) -> float:
    """Our loss of each pair, all in one call, against plain transformers one by one: the largest |a - b| / max(b, 0.1).
    All chats show the same first picture."""
    x = model.pixels(pairs[0][0].images[0])
    with torch.no_grad():
        plain = torch.stack([plain_loss(model, chat, target) for chat, target in pairs])
    found = model.loss_and_grad(x, model.prepare([pairs]), "pair", need_grad=False).nll[0]
    return float(((found - plain).abs() / plain.clamp(min=0.1)).max())


def gradient_difference(model: HFModel, pairs: Sequence[tuple[Chat, str]]) -> float:
    """Our gradient of the mean of all pairs against plain transformers' one by one: max |a - b| / max |b|; infinite
    where ours is not finite, NaN where theirs is zero or not finite and says nothing."""
    x = model.pixels(pairs[0][0].images[0]).requires_grad_()
    loss = torch.stack([plain_loss(model, chat, target, x) for chat, target in pairs]).mean()
    (plain,) = torch.autograd.grad(loss, x)
    found = model.loss_and_grad(x.detach(), model.prepare([pairs]), "pair").pixels
    largest = float(plain.abs().max())
    if not 0 < largest < float("inf"):
        return float("nan")
    return float((found - plain).abs().max()) / largest if bool(torch.isfinite(found).all()) else float("inf")


def slope_difference(model: HFModel, chat: Chat, target: str, directions: int = 3) -> float:
    """Our gradient along random directions against central differences of our own loss: max |a - b| / max |b|.

    A direction goes uphill in a random half of all channels: along a wholly random one, slopes cancel and rounding
    rules (norms run in float32 in any dtype of the weights). Differences are of fourth order, at the best of a few step
    sizes: too large a step sees curvature, too small a one rounding. Rounding inside a resize has no slope, so it is
    left out here. Meant for a model in float64.
    """
    twin, x = model.twin, model.pixels(chat.images[0]).double()
    assert twin is not None
    x = x * 0.9 + 0.05  # away from where pixels are clamped
    prepared = model.prepare([[(chat, target)]])
    draw = torch.Generator().manual_seed(0)
    with model.pictures.unrounded():
        grad = model.loss_and_grad(x, prepared).pixels.double()
        ways = [grad.sign() * (torch.rand(x.shape, generator=draw) < 0.5).to(x) for _ in range(directions)]
        found = [float((grad * way).sum()) for way in ways]
        return min(_off(found, [_slope(model, x, prepared, step * way) / step for way in ways]) for step in STEPS)


def _off(found: Sequence[float], exact: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(found, exact, strict=True)) / max(map(abs, exact))


def _slope(model: HFModel, x: Tensor, prepared: Prepared, by: Tensor) -> float:
    """How much the loss rises from `x` by `by`, to first order."""
    return (8 * _rise(model, x, prepared, by) - _rise(model, x, prepared, 2 * by)) / 12


def _rise(model: HFModel, x: Tensor, prepared: Prepared, by: Tensor) -> float:
    up, down = (float(model.loss_and_grad(x + sign * by, prepared, need_grad=False).loss) for sign in (1, -1))
    return up - down


def processor_difference(model: HFModel, images: Sequence[Image]) -> float:
    """Largest difference of a channel between twin and official processor, in 8-bit levels / 255, before normalisation
    (their other outputs must be equal: raises ValueError if not)."""
    assert model.twin is not None
    worst = 0.0
    std = float(model.normalisation[1].max())
    for image in images:
        expected = official(model.processor, [np.array(image.array())])
        found: Mapping[str, Tensor] = model.twin.values(model.pixels(image))
        for name, value in found.items():
            wanted: Any = torch.as_tensor(expected[name]).to(value.device)
            if not value.is_floating_point():
                if not torch.equal(value, wanted.to(value.dtype).reshape(value.shape)):
                    raise ValueError(f"{name}: twin {value.tolist()}, official {wanted.tolist()}, for {image}")
                continue
            worst = max(worst, float((value - wanted.reshape(value.shape)).abs().max()) * std)
    return worst


def form_difference(model: HFModel, other: Any, images: Sequence[Image]) -> tuple[float, float]:
    """The image processor that is followed against its `other` form: the largest difference in levels of 255, and the
    share of values that differ by more than half a level."""
    worst, many, count = 0.0, 0, 0
    std = float(model.normalisation[1].max())
    for image in images:
        pair = [official(form, [pillow(image.array())]) for form in (model.processor, other)]
        for name, value in pair[0].items():
            if isinstance(value, Tensor) and value.is_floating_point():
                off = 255 * std * (value - torch.as_tensor(pair[1][name])).abs()
                worst, many, count = max(worst, float(off.max())), many + int((off > 0.5).sum()), count + off.numel()
    return worst, many / max(count, 1)


def replies_agree(model: HFModel, chats: Sequence[Chat], tokens: int = 12) -> bool:
    """Whether our batched greedy replies are, token for token, those of transformers' `generate`, one by one."""
    settings = Settings(max_new_tokens=tokens)
    ours = model.tokens([Ask(chat, settings) for chat in chats])
    return ours == [plain_reply(model, chat, tokens) for chat in chats]


@torch.no_grad()
def plain_reply(model: HFModel, chat: Chat, tokens: int) -> list[int]:
    """Token ids of transformers' own greedy `generate`, the end token included."""
    inputs = official_inputs(model, chat)
    inputs = {name: v.to(model.model.dtype) if v.is_floating_point() else v for name, v in inputs.items()}
    told = {"max_new_tokens": tokens, "do_sample": False, "pad_token_id": model.pad}
    whole = model.model.generate(**inputs, generation_config=model.family.generation, **told)[0].tolist()
    start = inputs["input_ids"].shape[1]
    found: list[int] = whole[start:] if whole[:start] == inputs["input_ids"][0].tolist() else whole
    return found


def png_difference(model: HFModel, chat: Chat, target: str) -> float:
    """|loss of our pixels - loss of the same picture through the official processor|."""
    image = chat.images[0]
    found = model.loss_and_grad(model.pixels(image), model.prepare([[(chat, target)]]), need_grad=False).loss
    with torch.no_grad():
        return abs(float(found) - float(plain_loss(model, chat, target)))
