"""One step of a universal image attack, four ways, each a call that gives the gradient to the picture."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attack_step_parts.model import MEAN, STD, Shape
from proofglass.victims.llava import Llava

PUBLISHED, ONCE, TORCHATTACKS, OURS = SIDES = ("published", "encode-once", "torchattacks", "ours")
TEXT_BEFORE, SUFFIX = 35, (20, 60)  # tokens before the picture; of prompt and target behind it, half of them target


@dataclass(frozen=True)
class Case:
    """The picture [1, 3, H, W] in [0, 1] and B pairs (prompt ids with the picture's place holders, target ids)."""

    pixels: Tensor
    pairs: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

    def batches(self, micro: int | None) -> Iterator[tuple[dict[str, Tensor], float]]:
        """Right-padded input_ids, attention_mask and labels of `micro` pairs, and their share of all target tokens."""
        total = sum(len(target) for _, target in self.pairs)
        size = micro or len(self.pairs)
        for at in range(0, len(self.pairs), size):
            part = self.pairs[at : at + size]
            longest = max(len(p) + len(t) for p, t in part)
            rows = [[], [], []]  # type: list[list[list[int]]]
            for p, t in part:
                pad = longest - len(p) - len(t)
                rows[0].append([*p, *t] + [0] * pad)
                rows[1].append([1] * (len(p) + len(t)) + [0] * pad)
                rows[2].append([-100] * len(p) + [*t] + [-100] * pad)
            names = ("input_ids", "attention_mask", "labels")
            batch = {name: torch.tensor(row, device=self.pixels.device) for name, row in zip(names, rows, strict=True)}
            yield batch, sum(len(t) for _, t in part) / total


def case(shape: Shape, vocabulary: int, size: int, device: str, seed: int = 0, one_prompt: bool = False) -> Case:
    """Suffix lengths are spread evenly over SUFFIX and shuffled: the mean is 40 whatever B is."""
    draw = random.Random(seed)
    low, high = SUFFIX
    lengths = [low + round((high - low) * k / (size - 1)) for k in range(size)] if size > 1 else [(low + high) // 2]
    draw.shuffle(lengths)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(draw.randrange(7, vocabulary) for _ in range(count))  # 0 to 6 are special tokens

    before = (1, *ids(TEXT_BEFORE - 1), *[3] * shape.image_tokens)
    shared = ids((low + high) // 4)
    pairs = tuple(((*before, *(shared if one_prompt else ids(n - n // 2))), ids(n // 2)) for n in lengths)
    generator = torch.Generator().manual_seed(seed)
    return Case(torch.rand(1, 3, shape.side, shape.side, generator=generator).to(device), pairs)


def normalised(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((pixels - mean) / std).to(dtype)


def published(model: Any, given: Case, micro: int | None) -> Tensor:
    x = given.pixels.clone().requires_grad_(True)
    for batch, share in given.batches(micro):
        values = normalised(x, model.dtype).repeat(len(batch["labels"]), 1, 1, 1)
        (model(**batch, pixel_values=values, use_cache=False).loss * share).backward()
    return _gradient(x)


def encode_once(model: Any, given: Case, micro: int | None) -> Tensor:
    x = given.pixels.clone().requires_grad_(True)
    found = model.get_image_features(pixel_values=normalised(x, model.dtype)).pooler_output
    features = found if isinstance(found, Tensor) else torch.stack(list(found))
    leaf = features.detach().requires_grad_(True)  # so that micro-batches, too, go through the tower once
    for batch, share in given.batches(micro):
        ids = batch.pop("input_ids")
        embeds = model.get_input_embeddings()(ids)
        here = (ids == model.config.image_token_id)[..., None]
        embeds = embeds.masked_scatter(here, leaf.expand(len(ids), -1, -1).to(embeds.dtype))
        (model(inputs_embeds=embeds, **batch, use_cache=False).loss * share).backward()
    assert leaf.grad is not None
    features.backward(leaf.grad)
    return _gradient(x)


class Around(torch.nn.Module):
    """A classifier for torchattacks: picture in, logits of the target tokens out. Keeps the gradient on its way."""

    def __init__(self, model: Any, given: Case) -> None:
        super().__init__()
        self.model = model
        ((batch, _),) = given.batches(None)
        labels = batch.pop("labels")[:, 1:]
        self.batch, self.wanted, self.labels = batch, labels != -100, labels[labels != -100]
        self.gradient: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad:
            images.register_hook(self._keep)
        values = normalised(images, self.model.dtype).repeat(len(self.wanted), 1, 1, 1)
        logits = self.model(**self.batch, pixel_values=values, use_cache=False).logits
        return logits[:, :-1][self.wanted].float()

    def _keep(self, gradient: Tensor) -> None:
        self.gradient = -gradient.detach()  # targeted PGD climbs the negative loss


def torchattacks_step(model: Any, given: Case, micro: int | None) -> Tensor:
    """`micro` is not used: PGD takes its batch whole."""
    import torchattacks

    around = Around(model, given).eval()
    attack = torchattacks.PGD(around, eps=16 / 255, alpha=1 / 255, steps=1, random_start=False)
    attack.set_mode_targeted_by_label(quiet=True)
    attack(given.pixels, around.labels)
    assert around.gradient is not None
    return around.gradient


PEERS: dict[str, Callable[[Any, Case, int | None], Tensor]] = {
    PUBLISHED: published,
    ONCE: encode_once,
    TORCHATTACKS: torchattacks_step,
}


def _gradient(x: Tensor) -> Tensor:
    assert x.grad is not None
    return x.grad


def step_of(side: str, victim: Llava, given: Case, micro: int | None) -> Callable[[], Tensor]:
    """One step of `side`: a call that gives the gradient [1, 3, H, W]."""
    if side != OURS:
        return lambda: PEERS[side](victim.model.model, given, micro)
    prepared = victim.model.prepare_tokens([given.pairs])
    draw = random.Random(1)

    def ours() -> Tensor:
        order = draw.sample(range(len(given.pairs)), len(given.pairs))
        return victim.loss_and_grad(given.pixels, prepared.select([order]), weighting="token").pixels

    return ours
