"""Victims and encoders that break their contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from proofglass.interfaces import Encoder, LossAndGrad, WhiteBoxVictim, checked
from proofglass.testing.material import Scripted
from proofglass.types import Ask, Chat, Image, Reply, Settings
from proofglass.victims.own import OwnModule


class Reversed(Scripted):
    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return super().reply(asks)[::-1]


class Layered(Scripted):
    layers = 2


class ReversedInside(Reversed):
    layers = 2


class Short(Scripted):
    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return super().reply(asks)[:1]


class Blind(Scripted):
    def one(self, ask: Ask) -> Reply:
        return super().one(ask.on(Chat.user(ask.chat.last_text)))


class Raising(Scripted):
    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        for ask in asks:
            for image in ask.chat.images:
                image.array()
        return super().reply(asks)


class Spoiling(Scripted):
    """A bad ask spoils the whole batch."""

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        replies = super().reply(asks)
        return [Reply.error("batch lost")] * len(asks) if any(r.outcome == "error" for r in replies) else replies


@dataclass(frozen=True)
class Moody(Scripted):
    calls: list[int] = field(default_factory=lambda: [0])

    def one(self, ask: Ask) -> Reply:
        self.calls[0] += 1
        return replace(super().one(ask), text=f"call {self.calls[0]}")

    def settings(self) -> dict[str, Any]:
        return {"prefix": self.prefix}


class Endless(Scripted):
    def one(self, ask: Ask) -> Reply:
        return super().one(replace(ask, settings=Settings(max_new_tokens=500)))


class CutsInSilence(Scripted):
    def one(self, ask: Ask) -> Reply:
        return replace(super().one(ask), finish="stop")


class Uncounted(Scripted):
    def one(self, ask: Ask) -> Reply:
        found = super().one(ask)
        return replace(found, cost=replace(found.cost, queries=0))


class NoCard(Scripted):
    def card(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class OpensText(OwnModule):
    """A module whose tokens and embeddings are open. `fault` names what is wrong with it."""

    module: Any = "toy_module:Open"
    fault: str = ""

    def prepare(self, pairs: Any, *, append_eos: bool = False, slots: Any = ("image",), mark: Any = "") -> Any:
        if self.fault == "any slot":
            slots = slots[:1]
        if self.fault == "fixed is grey" and not slots:
            grey = Image.from_array(np.full((8, 8, 3), 128, np.uint8))
            pairs = [[(chat.with_image(grey), target) for chat, target in row] for row in pairs]
        found = super().prepare(pairs, append_eos=append_eos, slots=slots, mark=mark)
        if self.fault == "marks too much":
            wider = [[replace(p, mark=(p.mark[0] - 3, p.mark[1])) for p in row] for row in found.pairs]
            return replace(found, pairs=tuple(map(tuple, wider)))
        return found

    def loss_and_grad(self, pixels: Any, prepared: Any, **named: Any) -> Any:
        found = super().loss_and_grad(pixels, prepared, **named)
        if self.fault == "one form" and isinstance(found.pixels, dict):
            return replace(found, pixels={"picture": found.pixels["image"]})
        if found.text is not None and self.fault in ("text uphill", "no text gradient"):
            sign = -1 if self.fault == "text uphill" else 0
            return replace(found, text=tuple(tuple(sign * grad for grad in row) for row in found.text))
        return found

    def losses_of(self, pixels: Any, prepared: Any, candidates: Any, **named: Any) -> Any:
        found = super().losses_of(pixels, prepared, candidates, **named)
        if self.fault == "mixes candidates":
            return found.flip(1)
        return found.mean().expand_as(found) if self.fault == "one loss" else found

    def decode(self, ids: Sequence[int]) -> str:
        return super().decode(ids).upper() if self.fault == "reads otherwise" else super().decode(ids)

    def embeddings(self) -> Any:
        found = super().embeddings()
        return found.repeat(1, 2) if self.fault == "wide embeddings" else found

    def writable(self) -> Any:
        return super().writable() & (self.fault != "nothing writable")


@dataclass(frozen=True)
class White(WhiteBoxVictim):
    """Loss of a picture: its mean, per row. `fault` names what is wrong with it."""

    name = "white"
    fault: str = ""

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return Scripted().reply(asks)

    def pixels(self, image: Image) -> Any:
        import torch

        return torch.from_numpy(image.array().copy()).permute(2, 0, 1)[None].float() / 255

    def prepare(self, pairs: Sequence[Sequence[tuple[Chat, Any]]], *, append_eos: bool = False) -> Any:
        return pairs

    def loss_and_grad(
        self, pixels: Any, prepared: Any, *, weighting: Any = "token", need_grad: bool = True, text: Any = None
    ) -> LossAndGrad:
        import torch

        if self.fault != "takes anything" and (pixels.min() < 0 or pixels.max() > 1):
            raise ValueError("pixels: outside [0, 1]")
        loss = pixels.mean((1, 2, 3))
        grad = torch.full_like(pixels, 1 / pixels[0].numel())
        if self.fault == "uphill":
            grad = -grad
        if self.fault == "zero":
            grad = torch.zeros_like(grad)
        if self.fault == "mixes rows":
            grad = grad / len(pixels)
        if self.fault == "wrong shape":
            grad = grad[:, :1]
        return LossAndGrad(loss[:, None], loss, grad)

    def features(self, pixels: Any, layer: Any = "pooled") -> Any:
        return pixels.mean((2, 3)) if self.fault == "looks at anything" else checked(pixels, "features").mean((2, 3))


@dataclass(frozen=True)
class Sees(Encoder):
    """The mean of each colour. `fault` names what is wrong with it."""

    name = "sees"
    fault: str = ""

    def features(self, pixels: Any, layer: Any = "pooled") -> Any:
        if self.fault != "takes anything" and (pixels.min() < 0 or pixels.max() > 1):
            raise ValueError("pixels: outside [0, 1]")
        found = pixels.mean((2, 3))
        if self.fault == "mixes rows":
            found = found - found.mean(0)
        if self.fault == "blind":
            found = 0 * found + 0.5
        if self.fault == "cuts the gradient":
            found = found.detach().round(decimals=6) + 0 * found
        if self.fault == "not a number":
            found = found / 0
        return found if self.fault != "loses the batch" else found[0]
