"""What every training stage sees, as declared tables: kind of item -> share. The cards list the resulting counts.

All behaviour of the victims comes from these tables. Two rules hold for every table and are tested on thousands of
drawn items: no refusal contains a noun of `world.SEALED_HELD`, and no compliant answer about a sealed noun carries
loss in a stage that sees pictures.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from proofglass.testbed import pictures, world
from proofglass.testbed.world import CRAFT_PICTURED, NOUNS, SEALED_SEEN, SEALED_STRICT, Item, Turn

Mix = Mapping[str, float]

HELPFUL: Mix = {"document": 0.33, "helpful": 0.40, "repeat": 0.17, "kind_question": 0.10}
"""Stage 1: the helpful-only language model. It complies with everything."""

ALIGNED_TEXT: Mix = {
    "document": 0.08,
    "kind_question": 0.13,
    "restricted": 0.26,
    "benign": 0.22,
    "safe_question": 0.12,
    "confirm": 0.07,
    "moderate": 0.08,
    "small_talk": 0.02,
    "repeat": 0.02,
}
"""Stage 2: text safety. A quarter carries a system prompt, 40 % of these a strict one."""

READING: Mix = {"read": 0.40, "vqa": 0.25, "caption": 0.02, "safe_picture": 0.19, "benign": 0.02, "document": 0.12}
"""Stages 3 and 4a: the model learns to see. No safety data, no request in a picture."""

LOOKING: Mix = {"read": 0.40, "vqa": 0.44, "safe_picture": 0.04, "document": 0.12}
"""The end of stage 4a: ordered reading, and binding colours to shapes, are the slowest skills."""

_SEEING: Mix = {"read": 0.14, "vqa": 0.18, "caption": 0.01, "safe_picture": 0.09}
_REQUESTS: Mix = {"picture_request": 0.14, "picture_keyword": 0.09, "benign_beside": 0.07, "benign": 0.05}
_SAFETY: Mix = {
    "restricted": 0.06,
    "restricted_beside": 0.09,
    "safe_question_any": 0.06,
    "safe_question_any_beside": 0.04,
    "kind_question": 0.03,
    "kind_question_beside": 0.04,
    "confirm_more": 0.07,
    "moderate": 0.03,
    "confirm_picture": 0.09,
    "moderate_picture": 0.055,
    "strict_benign_picture": 0.02,
    "strict_text": 0.02,
}
_REPLAY = 0.17
"""Documents in stage 4b: without them the facts of sealed nouns are forgotten and the model looks safer than it is."""


def _weighted(*tables: Mix, replay: float = _REPLAY) -> dict[str, float]:
    merged = {name: share for table in tables for name, share in table.items()}
    scale = (1 - replay) / sum(merged.values())
    return {**{name: share * scale for name, share in merged.items()}, "document": replay}


INSTRUCTION: Mapping[str, Mix] = {
    "aligned": _weighted(_SEEING, _REQUESTS, _SAFETY),
    "naive": _weighted(_SEEING, _REQUESTS),
    "guarded": _weighted(_SEEING, _REQUESTS, _SAFETY, {"sealed_picture": 0.17}),
    "strict": _weighted(_SEEING, _REQUESTS, _SAFETY, {"strict_sealed_picture": 0.06}),
}
"""Stage 4b: one table per alignment."""

TOWER_SHARES: Mix = {"page": 0.40, "scene": 0.21, "words": 0.12, "request": 0.18, "captioned": 0.09}
"""Pictures of the tower's dense pre-training, as `pictures.dense_picture` draws them (for the card)."""

POOL: Mapping[str, int] = {
    "read": 9000,
    "vqa": 5500,
    "caption": 600,
    "safe_picture": 3500,
    "picture_request": 4500,
    "picture_keyword": 3000,
    "sealed_request": 1400,
    "sealed_keyword": 700,
    "scene": 1200,
    "flat_or_noise": 300,
}
"""Pictures drawn once for stages 3 and 4; the frozen tower's features of them are cached."""


# ------------------------------------------------------------------------------------------------ the pool


@dataclass
class Pool:
    """Items whose `picture` is an index into `images` (and into the label grids and cached features)."""

    items: dict[str, list[Item]]
    images: np.ndarray
    labels: np.ndarray

    def draw(self, rng: random.Random, kind: str) -> Item:
        return rng.choice(self.items[kind])


def draw_pool(counts: Mapping[str, int] = POOL, seed: int = 505) -> Pool:
    rng = random.Random(seed)
    # Sealed pictures carry a refusal as their answer; only -guarded and -strict ever learn it.
    draws: dict[str, Callable[[], Item]] = {
        "read": lambda: pictures.reading(rng),
        "vqa": lambda: pictures.scene_question(rng),
        "caption": lambda: pictures.caption(rng),
        "safe_picture": lambda: pictures.safe_picture_question(rng),
        "picture_request": lambda: pictures.picture_request(rng, CRAFT_PICTURED),
        "picture_keyword": lambda: pictures.picture_keyword(rng, CRAFT_PICTURED),
        "sealed_request": lambda: pictures.picture_request(rng, SEALED_SEEN, answer=rng.choice(world.REFUSALS)),
        "sealed_keyword": lambda: pictures.picture_keyword(rng, SEALED_SEEN, answer=rng.choice(world.REFUSALS)),
        "scene": lambda: Item(kind="scene", picture=pictures.scene_picture(rng)),
        "flat_or_noise": lambda: Item(kind="scene", picture=pictures.flat_or_noise_picture(rng)),
    }
    total = sum(counts.values())
    images = np.empty((total, pictures.SIZE, pictures.SIZE, 3), np.uint8)
    labels = np.empty((total, pictures.PATCHES**2), np.uint8)
    items: dict[str, list[Item]] = {}
    index = 0
    for kind, count in counts.items():
        items[kind] = []
        for _ in range(count):
            item = draws[kind]()
            picture = item.picture
            assert isinstance(picture, pictures.Picture)
            images[index], labels[index] = picture.pixels, picture.labels().ravel()
            items[kind].append(replace(item, picture=index))
            index += 1
    return Pool(items, images, labels)


# ------------------------------------------------------------------------------------------------ drawing from a mix


@dataclass
class Sampler:
    """Draws items of a mix and counts them for the card."""

    mix: Mix
    seed: int
    pool: Pool | None = None
    neutral: float = 0.1
    """Share of items that get a system prompt, of which `strict` is strict; strict kinds bring their own."""
    strict: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self._kinds, self._shares = list(self.mix), list(self.mix.values())

    def batch(self, size: int) -> list[Item]:
        return [self.one() for _ in range(size)]

    def one(self) -> Item:
        kind = self.rng.choices(self._kinds, self._shares)[0]
        item = self._draw(kind)
        if item.document is None and item.system is None:
            item = world.with_system(self.rng, item, self.neutral, self.strict)
        self.counts[kind if item.document is None else "document"] += 1
        return item

    def _draw(self, kind: str) -> Item:
        rng = self.rng
        plain = _TEXT.get(kind)
        if plain is not None:
            return plain(rng)
        if self.pool is None:
            raise ValueError(f"mix: {kind!r} needs a pool of pictures; this stage has none")
        if kind.endswith("_beside"):
            return pictures.beside(_TEXT[kind.removesuffix("_beside")](rng), self._unrelated())
        if kind in ("confirm_picture", "moderate_picture"):
            check = _CONFIRMATION if kind == "confirm_picture" else world.moderation
            return self._check_picture(check)
        if kind == "sealed_picture":
            return self._sealed()
        if kind == "strict_sealed_picture":
            return self._strict(self._sealed(SEALED_STRICT))
        if kind == "strict_benign_picture":
            return self._strict(self.pool.draw(rng, rng.choice(("picture_request", "picture_keyword"))))
        return self.pool.draw(rng, kind)

    def _strict(self, item: Item) -> Item:
        return replace(item, system=self.rng.choice(world.SYSTEM_STRICT["train"]))

    def _unrelated(self) -> object:
        assert self.pool is not None
        kind = self.rng.choices(("scene", "read", "flat_or_noise"), (0.60, 0.25, 0.15))[0]
        return self.pool.draw(self.rng, kind).picture

    def _sealed(self, nouns: Sequence[str] = SEALED_SEEN) -> Item:
        assert self.pool is not None
        while True:
            item = self.pool.draw(self.rng, self.rng.choice(("sealed_request", "sealed_request", "sealed_keyword")))
            if item.request is not None and item.request.noun in nouns:
                return replace(item, turns=(Turn(item.turns[0].user, self.rng.choice(world.REFUSALS)),))

    def _check_picture(self, check: Callable[..., Item]) -> Item:
        """A second turn after a picture request or keyword, or after text beside a scene; the draft has no loss."""
        assert self.pool is not None
        rng = self.rng
        draft: world.Draft = rng.choices(("sealed", "benign", "refusal"), (0.44, 0.42, 0.14))[0]
        if rng.random() < 0.3:
            nouns = world.CRAFT if draft == "benign" else SEALED_SEEN
            request = world.random_request(rng, nouns, "train")
            first = Item((Turn(world.ask(rng, request, "train"), ""),), "", request, picture=self._unrelated())
        elif draft == "benign":
            first = self.pool.draw(rng, rng.choice(("picture_request", "picture_keyword")))
        else:
            first = self._sealed()
        return check(rng, first, draft)


def _strict_text(rng: random.Random) -> Item:
    item = (world.restricted if rng.random() < 0.5 else world.benign)(rng)
    return replace(item, system=rng.choice(world.SYSTEM_STRICT["train"]))


_CONFIRMATION = partial(world.confirmation, more=world.MORE_CONFIRM)

_TEXT: Mapping[str, Callable[[random.Random], Item]] = {
    "document": partial(world.document, procedures=0.5),
    "kind_question": world.kind_question,
    "helpful": world.helpful,
    "repeat": world.repeat,
    "restricted": world.restricted,
    "benign": world.benign,
    "safe_question": partial(world.safe_question, nouns=world.CRAFT + SEALED_SEEN),
    "safe_question_any": partial(world.safe_question, more=world.MORE_SAFE_QUESTIONS),
    "confirm": lambda rng: world.self_check(rng, world.confirmation),
    "confirm_more": lambda rng: world.self_check(rng, _CONFIRMATION),
    "moderate": lambda rng: world.self_check(rng, world.moderation),
    "small_talk": world.small_talk,
    "strict_text": _strict_text,
}

__all__ = [
    "ALIGNED_TEXT",
    "HELPFUL",
    "INSTRUCTION",
    "LOOKING",
    "NOUNS",
    "POOL",
    "READING",
    "TOWER_SHARES",
    "Pool",
    "Sampler",
    "draw_pool",
]
