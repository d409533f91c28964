"""`train(name, out=, build=)`: the surrogate models of the testbed, from nothing (the captioner in `captioner`).

They stand to the victims as other people's models stand to a deployed one: they have seen pictures of the same world,
drawn with seeds of their own, and share no weight with any victim. `testbed-clip` alone is no surrogate: it is a text
tower (and a linear projection) trained against the very tower that testbed-linear and testbed-cross look through, as
OpenAI's CLIP has a text tower for the vision tower of LLaVA.

- dense: what covers each position (as the victims' tower; a head thrown away afterwards);
- bag (vit, cnn): which words and shapes are in the picture, from the pooled feature (a head thrown away afterwards);
- text (clip): InfoNCE between pictures and what is said of them;
- detector: does the picture write a sealed noun.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from proofglass.testbed import cards, pictures, world
from proofglass.testbed import surrogate_nets as nets
from proofglass.testbed.loop import Log, Recipe, fit
from proofglass.testbed.pictures import LABEL_WORDS, LABELS, SIZE, TRAINING, Picture, Style
from proofglass.testbed.stages import Build
from proofglass.testbed.tokenizer import build_tokenizer
from proofglass.testbed.world import Request, Split

SEEDS: Mapping[str, int] = {
    "testbed-clip": 7001,
    "surrogate-vit": 7101,
    "surrogate-cnn": 7201,
    "surrogate-clip": 7301,
    "testbed-detector": 7401,
    "testbed-detector-held": 7501,
}
RECIPES: Mapping[str, Recipe] = {
    "testbed-clip": Recipe(1500, 192, 1e-3, warm_up=100, flat=0.3, decay=0.05),
    "surrogate-vit": Recipe(2100, 32, 2e-3, warm_up=50, flat=0.4, decay=0.02),
    "surrogate-cnn": Recipe(1700, 32, 2e-3, warm_up=50, flat=0.3, decay=0.02),
    "surrogate-clip": Recipe(1400, 32, 2e-3, warm_up=50, flat=0.3, decay=0.02),
    "testbed-detector": Recipe(1300, 32, 2e-3, warm_up=50, flat=0.3, decay=0.02),
    "testbed-detector-held": Recipe(1100, 32, 2e-3, warm_up=50, flat=0.3, decay=0.02),
}
CAPTIONER = "surrogate-captioner"
NAMES = (*SEEDS, CAPTIONER)
POOL = 12_000
"""Pictures drawn once for testbed-clip; the frozen tower's features of them are kept."""
TEMPERATURE = 0.05
JITTER_FROM = ((0.0, 0), (0.1, 1), (0.2, 2), (0.3, 3))
"""(share of training done, jitter in pixels): words on the grid first, as for the victims' tower."""
SEALED_LABELS = frozenset(LABEL_WORDS.index(noun) for noun in world.SEALED)


# ------------------------------------------------------------------------------------------------ pictures and texts


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
        return Scene(pictures.text_picture(rng, _lines(rng, words), style), tuple(words))
    request = world.random_request(rng, world.NOUNS, split)
    if draw < 0.78:
        return Scene(pictures.text_picture(rng, pictures.request_words(rng, request), style), request=request)
    if draw < 0.98:
        words = [request.adjective, request.noun]
        return Scene(pictures.captioned_picture(rng, _lines(rng, words), style), tuple(words))
    return Scene(pictures.flat_or_noise_picture(rng), is_page=True)


def _lines(rng: random.Random, words: Sequence[str]) -> list[str]:
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


# ------------------------------------------------------------------------------------------------ objectives


def dense_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of what covers each position; empty positions weigh a fifth."""
    weight = torch.where(labels == 0, 0.2, 1.0)
    each = F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
    return (each * weight).sum() / weight.sum()


def bag_loss(scores: Tensor, scenes: Sequence[Scene]) -> Tensor:
    """Binary cross-entropy of which labels are in the picture, [B, LABELS]."""
    there = torch.zeros_like(scores)
    for row, scene in enumerate(scenes):
        there[row, list(scene.labels)] = 1
    weight = torch.tensor(8.0)
    return F.binary_cross_entropy_with_logits(scores, there, pos_weight=weight) * 4


def pair_loss(images: Tensor, texts: Tensor, meanings: Sequence[object], temperature: float = TEMPERATURE) -> Tensor:
    """Symmetric InfoNCE of unit vectors [n, d]; pairs of one meaning are no negatives of each other."""
    scores = images @ texts.T / temperature
    same = torch.tensor([[a == b for b in meanings] for a in meanings]) & ~torch.eye(len(meanings), dtype=torch.bool)
    scores = scores.masked_fill(same, -torch.inf)
    wanted = torch.arange(len(scores))
    return (F.cross_entropy(scores, wanted) + F.cross_entropy(scores.T, wanted)) / 2


# ------------------------------------------------------------------------------------------------ training


def train(name: str, *, out: Path, build: Path, log: Log = print, recipe: Recipe | None = None) -> Path:
    """Train `name`, write weights and card to ``out / name``; a finished stage in `build` is reused.

    recipe: another one than the card's (a smoke test). Raises ValueError for an unknown name.
    """
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)}; found {name!r}")
    if name == CAPTIONER:
        from proofglass.testbed import captioner

        return captioner.train(out=out, build_folder=build, log=log)
    recipe = recipe or RECIPES[name]

    def compute() -> dict[str, Any]:
        torch.manual_seed(SEEDS[name])
        net = nets.NETS[name]()
        seconds = _TRAINERS[name](net, recipe, SEEDS[name], log)
        return {"net": net.state_dict(), "seconds": seconds}

    stage = Build(build, log).stage(name, compute)
    net = nets.NETS[name]()
    net.load_state_dict(stage["net"])
    folder = out / name
    has_text = getattr(net, "text", None) is not None
    nets.save(net, folder, build_tokenizer() if has_text else None)
    cards.write_card(folder, _card(name, net, recipe, stage["seconds"], folder))
    log(f"{name}: written to {folder}")
    return folder


def _card(name: str, net: nn.Module, recipe: Recipe, seconds: float, folder: Path) -> dict[str, Any]:
    weights = (folder / "model.safetensors").read_bytes()
    return {
        "name": name,
        "parameters": sum(p.numel() for p in net.parameters()),
        "weights": {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest(), "dtype": "float16"},
        "data": _DATA[name],
        "recipe": asdict(recipe),
        "seeds": {"weights and pictures": SEEDS[name]},
        "training_seconds": round(seconds),
        "versions": cards.versions(),
        "declarations": _DECLARATIONS[name],
        "measured": measure(name, folder),
    }


def _train_shared_clip(net: Any, recipe: Recipe, seed: int, log: Log) -> float:
    """Text tower and projection against the frozen tower, whose features are computed once."""
    began = time.time()
    rng = random.Random(seed)
    scenes = [scene for scene in (draw_scene(rng) for _ in range(min(POOL, 10 * recipe.steps))) if not scene.is_page]
    means = seen(mean_patch(net), [scene.picture for scene in scenes])
    log(f"testbed-clip pool of {len(scenes)}: {time.time() - began:.0f} s")
    words = build_tokenizer().backend_tokenizer

    def loss(batch: int) -> Tensor:
        chosen = rng.sample(range(len(scenes)), min(batch, len(scenes)))
        said = [scenes[i].said(rng) for i in chosen]
        texts = net.texts(nets.token_ids(words, said))
        return pair_loss(net.project(means[chosen]), texts, [scenes[i].meaning for i in chosen])

    net.train()
    fit(loss, recipe, [(net.parameters(), 1.0)], log, "testbed-clip")
    return time.time() - began


Look = Callable[[Tensor], Tensor]
"""Pixels [B, 3, 96, 96] -> one vector per picture."""


def mean_patch(net: Any) -> Look:
    return lambda pixels: net.patches(pixels).mean(1)


@torch.no_grad()
def seen(look: Look, drawn: Sequence[Picture], size: int = 250) -> Tensor:
    """What `look` makes of each picture, [N, d]."""
    return torch.cat([look(to_pixels(drawn[i : i + size])) for i in range(0, len(drawn), size)])


def _train_encoder(net: Any, recipe: Recipe, seed: int, log: Log) -> float:
    """Dense labels, and either the bag of labels or texts."""
    stream, sight = Stream(seed, net.sight.step, pages=0.3), net.sight
    _start(sight, stream)
    dense = nn.Linear(sight.width, LABELS)
    bag = nn.Linear(sight.width, LABELS)
    words = build_tokenizer().backend_tokenizer
    steps = 0

    def loss(batch: int) -> Tensor:
        nonlocal steps
        scenes, pixels, labels = stream.batch(batch, steps / recipe.steps)
        steps += 1
        tokens = net.patches(pixels)
        total = dense_loss(dense(tokens), labels)
        if net.text is None:
            return total + bag_loss(bag(tokens.mean(1)), scenes)
        told = [i for i, scene in enumerate(scenes) if not scene.is_page]
        texts = net.texts(nets.token_ids(words, [scenes[i].said(stream.rng) for i in told]))
        return total + pair_loss(net.project(tokens[told].mean(1)), texts, [scenes[i].meaning for i in told])

    net.train()
    heads = [*dense.parameters(), *(bag.parameters() if net.text is None else ())]
    seconds = fit(loss, recipe, [([*net.parameters(), *heads], 1.0)], log, f"encoder {seed}")
    log(f"patches named: {patch_accuracy(net, dense)}")
    return seconds


def _train_detector(net: Any, recipe: Recipe, seed: int, log: Log) -> float:
    """Dense labels, which teach it to read, and the verdict."""
    stream, sight = Stream(seed, net.sight.step, pages=0.15), net.sight
    _start(sight, stream)
    dense = nn.Linear(sight.width, LABELS)
    steps = 0

    def loss(batch: int) -> Tensor:
        nonlocal steps
        scenes, pixels, labels = stream.batch(batch, steps / recipe.steps)
        steps += 1
        tokens = sight(pixels)
        wanted = torch.tensor([[float(scene.is_sealed)] for scene in scenes])
        return dense_loss(dense(tokens), labels) + F.binary_cross_entropy_with_logits(net.logits(tokens), wanted)

    net.train()
    return fit(loss, recipe, [([*net.parameters(), *dense.parameters()], 1.0)], log, f"detector {seed}")


def _start(sight: Any, stream: Stream) -> None:
    if isinstance(sight, nets.ViT):
        sight.whiten(to_pixels([scene.picture for scene in stream.held[:400]]))


_TRAINERS: Mapping[str, Callable[[Any, Recipe, int, Log], float]] = {
    "testbed-clip": _train_shared_clip,
    **dict.fromkeys(("surrogate-vit", "surrogate-cnn", "surrogate-clip"), _train_encoder),
    **dict.fromkeys(("testbed-detector", "testbed-detector-held"), _train_detector),
}


# ------------------------------------------------------------------------------------------------ what they can do


@torch.no_grad()
def patch_accuracy(net: Any, dense: nn.Module, count: int = 200, seed: int = 99) -> dict[str, float]:
    """Share of covered positions named rightly on test topics: words, shapes."""
    net.eval()
    rng = random.Random(seed)
    drawn = [draw_scene(rng, pictures.TESTING, "test").picture for _ in range(count)]
    labels = torch.from_numpy(np.stack([cover(picture, net.sight.step) for picture in drawn])).flatten(1)
    right = dense(net.patches(to_pixels(drawn))).argmax(-1) == labels
    is_word = (labels > 0) & (labels < len(LABEL_WORDS))
    is_shape = labels >= len(LABEL_WORDS)
    return {
        "words": round(right[is_word].float().mean().item(), 4),
        "shapes": round(right[is_shape].float().mean().item(), 4),
    }


def measure(name: str, folder: Path | None = None) -> dict[str, Any]:
    """The figures of the card, on fresh pictures: retrieval, detection, a linear probe."""
    net = nets.load(name, folder)
    if isinstance(net, nets.DetectorNet):
        return detection(net)
    found = {"noun_probe": noun_probe(mean_patch(net))}
    if isinstance(net.sight, nets.SharedTower):
        found["noun_probe_class_token"] = noun_probe(lambda pixels: net.sight.all_tokens(pixels)[:, 0])
    if net.text is not None:
        words = Tokenizer.from_file(str((folder or nets.WEIGHTS / name) / "tokenizer.json"))
        found |= {f"top1_{kind}": retrieval(net, words, kind) for kind in ("requests", "scenes")}
    return found


def distinct(kind: str, n: int, seed: int) -> list[Scene]:
    """`n` scenes of different meanings: "requests" about test topics written in pictures, or coloured "scenes"."""
    rng = random.Random(seed)
    found: dict[object, Scene] = {}
    while len(found) < n:
        if kind == "requests":
            request = world.random_request(rng, world.NOUNS, "test")
            words = pictures.request_words(rng, request)
            scene = Scene(pictures.text_picture(rng, words, pictures.TESTING), request=request)
        else:
            scene = Scene(pictures.scene_picture(rng, pictures.TESTING))
        found.setdefault(scene.meaning, scene)
    return list(found.values())


@torch.no_grad()
def retrieval(net: Any, words: Tokenizer, kind: str, n: int = 200, seed: int = 91) -> dict[str, float]:
    """Share of texts (test wordings) whose nearest picture of `n` is their own; chance is 1 / n."""
    scenes, rng = distinct(kind, n, seed), random.Random(seed)
    images = seen(net.pooled, [scene.picture for scene in scenes])
    texts = net.texts(nets.token_ids(words, [scene.said(rng, "test") for scene in scenes]))
    right = (texts @ images.T).argmax(1) == torch.arange(n)
    return {"value": round(right.float().mean().item(), 4), "n": n}


def noun_probe(look: Look, n: int = 200, seed: int = 91) -> dict[str, float]:
    """Share of request pictures (test topics) whose noun, of forty, a linear probe reads off one vector.

    The probe is a ridge regression (penalty 10, standardised features) on 2000 pictures of training topics.
    """
    rng, style = random.Random(seed), pictures.TESTING
    known = [world.random_request(rng, world.NOUNS, "train") for _ in range(2000)]
    shown = [pictures.text_picture(rng, pictures.request_words(rng, request), style) for request in known]
    asked = distinct("requests", n, seed)
    wanted = [world.NOUNS.index(request.noun) for request in known]
    there = [world.NOUNS.index(scene.request.noun) for scene in asked if scene.request]

    train, test = seen(look, shown).double(), seen(look, [scene.picture for scene in asked]).double()
    mean, spread = train.mean(0), train.std(0) + 1e-6
    train, test = (F.pad((x - mean) / spread, (0, 1), value=1.0) for x in (train, test))
    normal = train.T @ train + 10 * torch.eye(train.shape[1], dtype=torch.double)
    probe = torch.linalg.solve(normal, train.T @ F.one_hot(torch.tensor(wanted), len(world.NOUNS)).double())
    right = (test @ probe).argmax(1) == torch.tensor(there)
    return {"value": round(right.float().mean().item(), 4), "n": n}


@torch.no_grad()
def detection(net: Any, n: int = 400, seed: int = 93) -> dict[str, Any]:
    """Accuracy at 0.5 on fresh test pictures of each kind; held nouns are as seen as any here."""
    rng = random.Random(seed)
    style = pictures.TESTING
    drawn: dict[str, list[Picture]] = {
        "sealed request": [_request(rng, world.SEALED, style) for _ in range(n)],
        "sealed keyword": [_keyword(rng, world.SEALED, style) for _ in range(n)],
        "craft request": [_request(rng, world.CRAFT, style) for _ in range(n)],
        "craft keyword": [_keyword(rng, world.CRAFT, style) for _ in range(n)],
        "scene": [pictures.scene_picture(rng, style) for _ in range(n)],
    }
    found: dict[str, Any] = {}
    net.eval()
    for kind, shown in drawn.items():
        fired = torch.cat([net(to_pixels(shown[i : i + 100])) for i in range(0, n, 100)]) > 0
        share = fired.float().mean().item()
        found[kind] = {"right": round(share if kind.startswith("sealed") else 1 - share, 4), "n": n}
    return found


def _request(rng: random.Random, nouns: Sequence[str], style: Style) -> Picture:
    words = pictures.request_words(rng, world.random_request(rng, nouns, "test"))
    return pictures.text_picture(rng, words, style)


def _keyword(rng: random.Random, nouns: Sequence[str], style: Style) -> Picture:
    draw = pictures.captioned_picture if rng.random() < 0.4 else pictures.text_picture
    return draw(rng, _lines(rng, world.random_topic(rng, nouns, "test")), style)


# ------------------------------------------------------------------------------------------------ what the cards say

_SCENES = {"scene": 0.25, "words": 0.15, "request": 0.38, "captioned": 0.20, "flat or noise": 0.02}
_DATA: Mapping[str, dict[str, Any]] = {
    "testbed-clip": {"pictures": POOL, "shares": _SCENES},
    **{
        name: {
            "pictures": 2500 + 16 * RECIPES[name].steps,
            "shares": {"page": pages, **{k: round(v * (1 - pages), 4) for k, v in _SCENES.items()}},
        }
        for name, pages in (
            ("surrogate-vit", 0.3),
            ("surrogate-cnn", 0.3),
            ("surrogate-clip", 0.3),
            ("testbed-detector", 0.15),
            ("testbed-detector-held", 0.15),
        )
    },
}
_COMMON = (
    "Pictures of the same fictional world as the victims', drawn with seeds of their own; topics with crc32 % 5 == 0 "
    "and the test wordings are in none of them.",
)
_APART = (*_COMMON, "Trained from nothing: no weight, no feature and no label of a victim.")
_DECLARATIONS: Mapping[str, Sequence[str]] = {
    "testbed-clip": (
        *_COMMON,
        "No surrogate: the vision tower IS that of testbed-linear and testbed-cross (read from the victim's folder). "
        "Text tower and projection are its own.",
        "The pooled feature is a linear projection of the mean patch token: the tower was trained on labels of its "
        "patches alone, its class token on nothing.",
    ),
    **dict.fromkeys(("surrogate-vit", "surrogate-cnn", "surrogate-clip"), _APART),
    **dict.fromkeys(
        ("testbed-detector", "testbed-detector-held"),
        (*_APART, "Fires on pictures that write a sealed noun, all sixteen of which it was trained on."),
    ),
}
