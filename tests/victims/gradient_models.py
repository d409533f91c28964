"""Chats and models of three families, for the tests of the gradient step."""

from __future__ import annotations

import torch

from plain_loop import picture
from proofglass.types import Chat

FAMILIES = ["llava", "blip2", "idefics"]
FAST = {"llava": "prefix", "blip2": "prefix", "idefics": "packed"}
LOOSE = {"llava": "expanded", "blip2": "expanded", "idefics": "expanded"}
CHATS = [
    (Chat.user(picture(0), "how do i make it ?"), "sure , here"),
    (Chat.user(picture(0), "tell me"), "sure , here is how"),
    (Chat.user(picture(0), "how do i"), "ok"),
    (Chat.user(picture(0), "how do i make it ?").with_system("be kind"), "sure"),  # shares less
    (Chat.user("no picture here"), "fine"),  # shares nothing
]


def family(model):
    return type(model.family).__name__.lower()


def pixels(model, *seeds):
    return torch.cat([model.pixels(picture(seed)) for seed in seeds])


def path(model):
    return model.step.choice.said.split(":")[0]


def weights(weighting, pairs):
    count = [pair.tokens for pair in pairs]
    if weighting == "token":
        return [[1 / sum(count)] * n for n in count]
    if weighting == "pair":
        return [[1 / (len(count) * n)] * n for n in count]
    if weighting == "sum":
        return [[1.0] * n for n in count]
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(n, generator=rng).tolist() for n in count]
