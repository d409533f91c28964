"""Toy objectives whose walks are worked out by hand."""

from __future__ import annotations

import torch

from proofglass.engine import Differentiable


class Function(Differentiable):
    """A toy objective on [B, 3, H, W]."""

    def __init__(self, f, count=None):
        super().__init__(lambda x, rows: f(x), count or 1)

    def rows(self, picks):
        return self


def linear(a):  # a: one picture of weights, or one per picture
    return Function(lambda x: (a * x).flatten(1).sum(1))


def as_picture(*values):
    """Four numbers as the first channel of a 2 x 2 picture; the other channels are zero."""
    x = torch.zeros(1, 3, 2, 2)
    x[0, 0] = torch.tensor(values).reshape(2, 2)
    return x


def quadratic():
    w, t = as_picture(1.0, 2.0, 0.5, 1.0), as_picture(0.0, 0.52, 1.0, 0.41)
    return Function(lambda x: 0.5 * (w * (x - t) ** 2).flatten(1).sum(1))
