"""Toy losses on a 2 x 2 picture, and any image attack crafted by its registered name."""

from __future__ import annotations

import torch

from proofglass.registry import build as plug
from scripted_victims import Scripted, asked


def as_picture(*values):
    """Up to four numbers as the first channel of a 2 x 2 picture; the rest is 0.5."""
    x = torch.full((1, 3, 2, 2), 0.5)
    for k, value in enumerate(values):
        x[0, 0, k // 2, k % 2] = value
    return x


def quadratic(weights, targets, factor=0.5):
    w, t = torch.zeros(1, 3, 2, 2), as_picture(*targets)
    w[0, 0] = torch.tensor([*weights, *[0.0] * (4 - len(weights))]).reshape(2, 2)
    return lambda x, names: factor * (w * (x - t) ** 2).flatten(1).sum(1)


def craft(name, victim, samples=None, seed=0, budget=None, **parameters):
    return list(plug("attacks", name, **parameters).craft(victim, samples or asked(), seed=seed, budget=budget))


def apgd_toy():
    t = (0.53, 0.43, 0.90)
    f = quadratic((1.0, 4.0, 0.25), t, factor=1.0)
    return Scripted(f, x0=as_picture(0.5, 0.5, 0.5))
