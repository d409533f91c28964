"""The published loop on transformers' own classes, one pair at a time: what every gradient path has to equal."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from proofglass.types import Image
from tiny_models import SIDE


def picture(seed, side=SIDE):
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def target_logits(model, x, pair):
    """Logits [T, V] of the model's own full forward from pixel_values on: no cache, no padding, batch of one."""
    ids = torch.tensor([pair.ids])
    whole, kwargs = (
        model.model,
        {"pixel_values": model.values(x.to(model.model.dtype))["pixel_values"]}
        if hasattr(model.model.config, "vision_config")
        else {},
    )
    if type(model.family).__name__ == "Idefics":
        sees = (ids == model.image_token).cumsum(1) > 0
        kwargs = {"pixel_values": kwargs["pixel_values"][:, None], "image_attention_mask": sees.long()[..., None]}
    elif not pair.slots and kwargs:
        whole, kwargs = getattr(whole, "language_model", whole), {}
    logits = whole(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **kwargs).logits[0]
    return logits[pair.start - 1 : -1]


def loss_and_gradient(model, x, pairs, weights, teachers=None):
    """Sum of weight x cross-entropy over all target tokens of all pairs, and its gradient to x."""
    x = x.clone().requires_grad_(True)
    loss = torch.zeros((), dtype=model.model.dtype)
    for k, (pair, w) in enumerate(zip(pairs, weights, strict=True)):
        labels = torch.tensor(pair.ids[pair.start :]) if teachers is None else teachers[k].softmax(-1)
        nll = F.cross_entropy(target_logits(model, x, pair), labels, reduction="none")
        loss = loss + (nll * torch.tensor(w)).sum()
    return loss.detach(), torch.autograd.grad(loss, x)[0]


def far(found, wanted):
    """Largest difference over the largest entry."""
    assert float(wanted.abs().max()) > 0
    return float((found - wanted).abs().max() / wanted.abs().max())
