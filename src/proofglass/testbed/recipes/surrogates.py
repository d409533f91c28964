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
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proofglass.testbed import cards
from proofglass.testbed import surrogate_nets as nets
from proofglass.testbed.pictures import LABELS
from proofglass.testbed.recipes import captioner
from proofglass.testbed.recipes.loop import Log, Recipe, fit
from proofglass.testbed.recipes.losses import bag_loss, dense_loss, pair_loss
from proofglass.testbed.recipes.scenes import Stream, draw_scene, to_pixels
from proofglass.testbed.recipes.stages import Build
from proofglass.testbed.recipes.surrogate_figures import mean_patch, measure, patch_accuracy, seen
from proofglass.testbed.tokenizer import build_tokenizer

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
NAMES = (*SEEDS, captioner.NAME)
POOL = 12_000
"""Pictures drawn once for testbed-clip; the frozen tower's features of them are kept."""


def train(name: str, *, out: Path, build: Path, log: Log = print, recipe: Recipe | None = None) -> Path:
    """Train `name`, write weights and card to ``out / name``; a finished stage in `build` is reused.

    recipe: another one than the card's (a smoke test). Raises ValueError for an unknown name.
    """
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)}; found {name!r}")
    if name == captioner.NAME:
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
