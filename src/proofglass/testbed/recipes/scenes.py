"""What surrogates are trained on: pictures and what can be said of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from proofglass.testbed import pictures, world
from proofglass.testbed.pictures import LABEL_WORDS, SIZE, TRAINING, Picture, Style
from proofglass.testbed.world import Request, Split

JITTER_FROM = ((0.0, 0), (0.1, 1), (0.2, 2), (0.3, 3))
"""(share of training done, jitter in pixels): words on the grid first, as for the victims' tower."""
SEALED_LABELS = frozenset(LABEL_WORDS.index(noun) for noun in world.SEALED)


@dataclass(frozen=True)
class Scene:
    """A picture and what can be said of it. A `page` of random words has nothing to say."""

    picture: Picture
    words: tuple[str, ...] = ()
    request: Request | None = None
    is_page: bool = False

    @property
    def meaning(self) -> tuple[object, ...]:
        """Two scenes of one meaning are told apart by no text: they are no negatives of each other."""
        return (self.picture.shapes, str(self.request) if self.request else self.words)

    @property
    def labels(self) -> frozenset[int]:
        return frozenset(label for _, label in self.picture.things if label)

    @property
    def is_sealed(self) -> bool:
        return bool(self.labels & SEALED_LABELS)

    def said(self, rng: random.Random, split: Split = "train") -> str:
        """A caption, the words read aloud, or the request itself in one of the world's wordings."""
        parts = []
        if shapes := self.picture.shapes:
            places = ("",) * 3
            if rng.random() < 0.5:
                middle = (" in the middle",) if len(shapes) == 3 else ()
                places = (" on the left", *middle, " on the right") if len(shapes) > 1 else places
            named = (f"a {colour} {shape}{place}" for (colour, shape), place in zip(shapes, places, strict=False))
            parts.append(f"there is {' and '.join(named)} .")
        if self.request is not None:
            draw = rng.random()
            if draw < 0.5:
                parts.append(rng.choice(world.ASK[split]).format(v=self.request.verb, t=self.request.thing))
            else:
                parts.append(rng.choice(("{r}", "steps to {r}", "it says : {r} .")).format(r=self.request))
        elif self.words:
            parts.append(world.it_says(self.words) if rng.random() < 0.5 else " ".join(self.words))
        return " ".join(parts)


def draw_scene(rng: random.Random, style: Style = TRAINING, split: Split = "train") -> Scene:
    """Scenes 25 %, lists of words 15 %, requests 38 %, captioned scenes 20 %, flat or noise 2 %."""
    draw = rng.random()
    if draw < 0.25:
        return Scene(pictures.scene_picture(rng, style))
    if draw < 0.40:
        words = world.random_words(rng, 1, 4)
        return Scene(pictures.text_picture(rng, on_lines(rng, words), style), tuple(words))
    request = world.random_request(rng, world.NOUNS, split)
    if draw < 0.78:
        return Scene(pictures.text_picture(rng, pictures.request_words(rng, request), style), request=request)
    if draw < 0.98:
        words = [request.adjective, request.noun]
        return Scene(pictures.captioned_picture(rng, on_lines(rng, words), style), tuple(words))
    return Scene(pictures.flat_or_noise_picture(rng), is_page=True)


def on_lines(rng: random.Random, words: Sequence[str]) -> list[str]:
    """One word per line in two of five pictures."""
    if rng.random() < 0.6:
        return list(words)
    return [piece for word in words for piece in (word, pictures.NEW_LINE)][:-1]


def cover(picture: Picture, step: int) -> np.ndarray:
    """int64 [n, n]: the label that covers most of each square of `step` pixels, 0 for less than an eighth of it.

    `Picture.labels` for any grid.
    """
    edge = np.arange(0, SIZE, step)
    grid, best = np.zeros((len(edge), len(edge)), np.int64), np.full((len(edge), len(edge)), step * step / 8)
    for (x0, y0, x1, y1), label in picture.things:
        wide = (np.minimum(x1, edge + step) - np.maximum(x0, edge)).clip(0)
        tall = (np.minimum(y1, edge + step) - np.maximum(y0, edge)).clip(0)
        area = tall[:, None] * wide
        grid[area > best] = label
        best = np.maximum(best, area)
    return grid


def to_pixels(drawn: Sequence[Picture] | Sequence[np.ndarray]) -> Tensor:
    """float32 [B, 3, 96, 96] in [0, 1]."""
    array = np.stack([p.pixels if isinstance(p, Picture) else p for p in drawn])
    return torch.from_numpy(array).permute(0, 3, 1, 2).float() / 255


@dataclass
class Stream:
    """A rolling buffer: each batch is drawn from it, and 16 of its pictures are replaced by new ones."""

    seed: int
    step: int
    pages: float
    size: int = 2500

    def __post_init__(self) -> None:
        self.style = replace(TRAINING, jitter=0)
        self.rng = random.Random(self.seed)
        self.held: list[Scene] = []
        self.grids: list[np.ndarray] = []
        self.oldest = 0
        self.refresh(self.size)

    def refresh(self, count: int = 16) -> None:
        for _ in range(count):
            scene = draw_scene(self.rng, self.style)
            if self.rng.random() < self.pages:
                scene = Scene(pictures.page_picture(self.rng, self.style), is_page=True)
            grid = cover(scene.picture, self.step)
            if len(self.held) < self.size:
                self.held.append(scene)
                self.grids.append(grid)
            else:
                self.held[self.oldest], self.grids[self.oldest] = scene, grid
                self.oldest = (self.oldest + 1) % self.size

    def batch(self, count: int, done: float) -> tuple[list[Scene], Tensor, Tensor]:
        """Scenes, pixels and labels [B, n]. done: share of training behind us, for the curriculum."""
        self.style = replace(self.style, jitter=max(jitter for share, jitter in JITTER_FROM if done >= share))
        self.refresh()
        chosen = self.rng.sample(range(self.size), count)
        scenes = [self.held[i] for i in chosen]
        pixels = to_pixels([self._recoloured(scene) for scene in scenes])
        return scenes, pixels, torch.from_numpy(np.stack([self.grids[i] for i in chosen])).flatten(1)

    def _recoloured(self, scene: Scene) -> np.ndarray:
        """Pictures of text alone get their channels permuted, a fifth of them inverted."""
        array = scene.picture.pixels
        if not scene.picture.is_text_only:
            return array
        array = array[:, :, self.rng.sample(range(3), 3)]
        return 255 - array if self.rng.random() < 0.2 else array
