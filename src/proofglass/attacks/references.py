"""The two rows that every table needs: no attack, and noise of the same size as an adversarial perturbation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.engine.constraints import check_epsilon
from proofglass.interfaces import Attack, Victim
from proofglass.types import Artefact, Chat, Image, Sample

MID_GREY = 128
DEFAULT_SIZE = (224, 224)  # px, for a victim that takes any size


@dataclass(frozen=True)
class NoAttack(Attack):
    """The question as the data set asks it."""

    name = "no-attack"

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat


@dataclass(frozen=True)
class RandomNoise(Attack):
    """Noise of size `epsilon` on the sample's first picture, or on mid-grey where it has none.

    The control for adversarial images: a victim that gives way to noise was not attacked. epsilon: in pixels of
    [0, 1]. kind: "sign" is +-epsilon in every channel of every pixel, "uniform" is drawn from [-epsilon, epsilon].
    The noise depends on the seed and the sample's id only.
    """

    name = "random-noise"
    changes = ("image",)

    epsilon: float = 16 / 255
    kind: Literal["sign", "uniform"] = "sign"

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        if self.kind not in ("sign", "uniform"):
            raise ValueError(f"kind: expected 'sign' or 'uniform', found {self.kind!r}")

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: int | None = None
    ) -> Iterator[Artefact]:
        yield Artefact(meta={"seed": seed, "size": list(victim.image_size or DEFAULT_SIZE)})

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        import numpy as np

        own = sample.chat.images
        width, height = artefact.meta["size"]
        clean = own[0].array() if own else np.full((height, width, 3), MID_GREY, np.uint8)
        digest = hashlib.sha256(f"{artefact.meta['seed']}:{sample.id}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        # In grey levels; half a level is rounded up, as a PNG writer of floats does.
        size = 255 * self.epsilon
        if self.kind == "sign":
            noise = size * rng.choice((-1.0, 1.0), clean.shape)
        else:
            noise = rng.uniform(-size, size, clean.shape)
        noisy = np.floor(clean + noise + 0.5).clip(0, 255).astype(np.uint8)
        return sample.chat.with_image(Image.from_array(noisy))
