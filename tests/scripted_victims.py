"""A white-box victim whose loss is a function written in the test: what an attack does to it is known by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from proofglass.interfaces import LossAndGrad, WhiteBoxVictim
from proofglass.types import Ask, Chat, Cost, Image, Reply, Sample

Loss = Callable[[torch.Tensor, Sequence[str]], torch.Tensor]


@dataclass(frozen=True)
class Names:
    """Prepared pairs that remember their targets only: names[b][p]."""

    names: tuple[tuple[str, ...], ...]

    def rows(self, picks: Sequence[int]) -> Names:
        return Names(tuple(self.names[b] for b in picks))

    def select(self, picks: Sequence[Sequence[int]]) -> Names:
        return Names(tuple(tuple(row[p] for p in some) for row, some in zip(self.names, picks, strict=True)))


@dataclass
class Scripted(WhiteBoxVictim):
    """loss: f(x [B, 3, H, W], targets) -> [B], differentiable. x0: what it makes of a picture (None: the picture).

    grad: what becomes of the gradient on the way out. seen: every batch whose loss was asked, with `need_grad`.
    """

    loss: Loss
    x0: torch.Tensor | None = None
    image_size: tuple[int, int] | None = (2, 2)
    grad: Callable[[torch.Tensor], torch.Tensor] = lambda grad: grad
    answer: Callable[[Ask], str] = lambda ask: "sure"
    seen: list[tuple[torch.Tensor, bool]] = field(default_factory=list)

    name = "scripted"
    key = "scripted"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply(self.answer(ask), cost=Cost(forward=1, queries=1)) for ask in asks]  # as a model counts them

    def pixels(self, image: Image) -> torch.Tensor:
        if self.x0 is not None:
            return self.x0.clone()
        return torch.from_numpy(image.array().copy()).permute(2, 0, 1)[None].float() / 255

    def prepare(self, pairs: Any, *, append_eos: bool = False) -> Names:
        return Names(tuple(tuple(str(target) for _, target in row) for row in pairs))

    def loss_and_grad(
        self, pixels: torch.Tensor, prepared: Any, *, weighting: Any = "token", need_grad: bool = True, text: Any = None
    ) -> LossAndGrad:
        if float(pixels.min()) < 0 or float(pixels.max()) > 1:
            raise ValueError("pixels: expected values in [0, 1]")
        self.seen.append((pixels.clone(), need_grad))
        x = pixels.detach().clone().requires_grad_(need_grad)
        loss = self.loss(x, [row[0] for row in prepared.names])
        grad = torch.zeros_like(x)
        if need_grad:
            (grad,) = torch.autograd.grad(loss.sum(), x)
        return LossAndGrad(loss.detach()[:, None], loss.detach(), self.grad(grad))


def grey(level: int = 128, side: int = 2) -> Image:
    return Image.from_array(np.full((side, side, 3), level, np.uint8))


def asked(n: int = 1, image: Image | None = None) -> list[Sample]:
    """Samples with the targets "t0", "t1", ..."""
    return [Sample(f"s{k}", "toy", Chat.user(image or grey(), f"question {k}"), target=f"t{k}") for k in range(n)]
