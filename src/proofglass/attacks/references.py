"""The two rows that every table needs: no attack, and noise of the same size as an adversarial perturbation."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.attacks.crafting.access import with_losses
from proofglass.attacks.crafting.fields import Epsilon
from proofglass.attacks.crafting.pixels import distances
from proofglass.engine import A_LOSS, TargetNLL
from proofglass.engine.pictures import target_pairs
from proofglass.engine.rounding import whole_levels
from proofglass.interfaces import Attack, Count, Victim, WhiteBoxVictim
from proofglass.interfaces.attacks import Opens, Scope
from proofglass.types import Artefact, Budget, Chat, Cost, Image, Sample

MID_GREY = 128
DEFAULT_SIZE = (224, 224)  # px, for a victim that takes any size
AT_ONCE = 32  # noises scored together


@dataclass(frozen=True)
class NoAttack(Attack):
    """The question as the data set asks it."""

    name = "no-attack"

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat


@dataclass(frozen=True)
class RandomNoise(Attack):
    """Noise of size `epsilon` on the sample's first picture, or on mid-grey where it has none.

    The control for adversarial images: a victim that gives way to noise was not attacked. The picture keeps its size,
    while attacks work at the victim's: where a victim shrinks it, the noise is averaged too, and the control is the
    weaker one. The noise depends on the seed and the sample's id only.

    epsilon: in pixels of [0, 1]. kind: "sign" is +-epsilon in every channel of every pixel, "uniform" is drawn from
    [-epsilon, epsilon]. tries: 1: nothing is asked while crafting, and the rate over samples is the mean over noises;
    more: per sample, the one of so many noises with the lowest loss of the sample's target, which is what noise buys at
    an attack's budget (a try is one forward pass; the first noise is that of tries 1; a budget lowers `tries`). That
    takes a victim that opens its loss, never a gradient.
    """

    name = "random-noise"
    version = 2  # pictures keep to radii between two grey levels
    changes = ("image",)

    epsilon: Epsilon = 16 / 255
    kind: Literal["sign", "uniform"] = "sign"
    tries: Count = 1

    @property
    def opens(self) -> Opens:
        return "nothing" if self.tries == 1 else "scores"

    @property
    def scope(self) -> Scope:
        return "universal" if self.tries == 1 else "sample"

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        size = victim.image_size or DEFAULT_SIZE
        if self.tries == 1:
            yield Artefact(meta={"seed": seed, "size": list(size)})
            return
        open_victim = with_losses(self, victim)
        for sample in samples:
            yield self._best(open_victim, sample, size, seed, budget)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        if artefact.images:
            return sample.chat.with_image(artefact.images[0])
        clean = _clean(sample, artefact.meta["size"])
        return sample.chat.with_image(self._noisy(clean, artefact.meta["seed"], sample.id))

    def _best(
        self, victim: WhiteBoxVictim, sample: Sample, size: Sequence[int], seed: int, budget: Budget | None
    ) -> Artefact:
        """The noise that brings the target's loss down most; the first of equals."""
        import torch

        clean = _clean(sample, size)
        one = TargetNLL(victim, target_pairs([sample], [clean]))
        tries = self.tries
        losses: list[float] = []
        until = math.inf
        if budget is not None and budget.unit == "seconds":
            until = time.perf_counter() + budget.amount
        elif budget is not None and budget.of(A_LOSS):  # a try has no tokens and costs no money
            tries = max(1, min(tries, int(budget.amount) // victim.passes))
        while len(losses) < tries and (not losses or time.perf_counter() < until):
            some = range(len(losses), min(len(losses) + AT_ONCE, tries))
            x = torch.cat([victim.pixels(self._noisy(clean, seed, sample.id, k)) for k in some])
            losses += one.rows([0] * len(some)).value(x).loss.tolist()
        best = min(range(len(losses)), key=losses.__getitem__)
        noisy = self._noisy(clean, seed, sample.id, best)
        return Artefact(
            sample.id,
            (noisy,),
            clean=clean,
            crafted_on=victim.key,
            cost=Cost(forward=len(losses) * victim.passes),
            trace={"loss": [round(loss, 6) for loss in losses], "loss_after_rounding": losses[best]}
            | distances(noisy, clean),
        )

    def _noisy(self, clean: Image, seed: int, sample_id: str, k: int = 0) -> Image:
        """`clean` under the k-th noise of this seed and sample."""
        import numpy as np

        named = f"{seed}:{sample_id}" + (f":{k}" if k else "")
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(named.encode()).digest()[:8], "big"))
        # In grey levels; half a level is rounded up, as a PNG writer of floats does, but never out of the ball.
        size, pixels, most = 255 * self.epsilon, clean.array().astype(float), whole_levels(self.epsilon)
        if self.kind == "sign":
            noise = size * rng.choice((-1.0, 1.0), pixels.shape)
        else:
            noise = rng.uniform(-size, size, pixels.shape)
        levels = np.floor(pixels + noise + 0.5).clip(pixels - most, pixels + most)
        return Image.from_array(levels.clip(0, 255).astype(np.uint8))


def _clean(sample: Sample, size: Sequence[int]) -> Image:
    """The sample's first picture, or mid-grey of `size` (width, height)."""
    import numpy as np

    own = sample.chat.images
    return own[0] if own else Image.from_array(np.full((size[1], size[0], 3), MID_GREY, np.uint8))
