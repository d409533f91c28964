"""Surrogates and victims for the tests of Dong 2023, small ones made here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from proofglass.interfaces import Detector, Encoder, Victim, WhiteBoxVictim
from proofglass.registry import build as plug
from proofglass.types import Chat, Image, Sample


@dataclass(frozen=True)
class Tower(Encoder):
    """Two random layers; takes any size."""

    seed: int = 0

    @property
    def name(self):
        return f"tower {self.seed}"

    def features(self, pixels, layer="pooled"):
        draws = torch.Generator().manual_seed(self.seed)
        first, second = torch.randn(8, 3, 3, 3, generator=draws), torch.randn(6, 8, generator=draws)
        patches = torch.nn.functional.conv2d(pixels - 0.5, first, stride=2).flatten(2).mT
        return patches if layer == "patches" else torch.tanh(patches.mean(1) @ second.T)


@dataclass(frozen=True)
class Anchors(Detector):
    """One anchor per row of `pulls`: -log(1 - score) is 5 - pull . (mean colour), so that its gradient is constant."""

    pulls: tuple[tuple[float, ...], ...]
    offset: float = 5.0
    name = "anchors"

    def scores(self, pixels):
        means = pixels.double().mean((2, 3))
        return 1 - torch.exp(means @ torch.tensor(self.pulls, dtype=torch.float64).T - self.offset)


@dataclass(frozen=True)
class Closed(Victim):
    """A victim that shows nothing of itself, and is not asked anything by a transfer attack."""

    image_size: tuple[int, int] | None = None
    name = "closed"

    def reply(self, asks):
        raise AssertionError("a transfer attack asked its victim")


@dataclass(frozen=True)
class Guarded(WhiteBoxVictim):
    """A white box whose gradient is not to be taken."""

    name = "guarded"
    image_size = (10, 10)

    def reply(self, asks):
        raise AssertionError("asked")

    def pixels(self, image):
        return torch.full((1, 3, 10, 10), 0.25)

    def prepare(self, pairs, *, append_eos=False):
        raise AssertionError("prepared")

    def loss_and_grad(self, pixels, prepared, **rest):
        raise AssertionError("differentiated")


TOWERS = (Tower(0), Tower(1))


def picture(seed, height=12, width=12):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    levels[0], levels[-1] = 0, 255  # where rounding and box can leave the ball
    return Image.from_array(levels)


def samples(*pictures, **more):
    return [Sample(f"s{k}", "toy", Chat.user(p, f"what is {k} ?"), **more) for k, p in enumerate(pictures)]


def attack(**parameters):
    return plug("attacks", "dong2023", **{"rounds": 4, "draws": 3, "surrogates": TOWERS, **parameters})


def levels_between(one, other):
    return np.abs(one.array().astype(int) - other.array().astype(int))


def grey_sample(level=128):
    return samples(Image.from_array(np.full((1, 1, 3), level, np.uint8)))
