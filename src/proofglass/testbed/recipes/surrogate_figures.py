"""What the surrogates can do, on fresh pictures: the figures of their cards."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from proofglass.testbed import pictures, world
from proofglass.testbed import surrogate_nets as nets
from proofglass.testbed.pictures import LABEL_WORDS, Picture, Style
from proofglass.testbed.recipes.scenes import Scene, cover, draw_scene, on_lines, to_pixels

Look = Callable[[Tensor], Tensor]
"""Pixels [B, 3, 96, 96] -> one vector per picture."""


def mean_patch(net: Any) -> Look:
    return lambda pixels: net.patches(pixels).mean(1)


@torch.no_grad()
def seen(look: Look, drawn: Sequence[Picture], size: int = 250) -> Tensor:
    """What `look` makes of each picture, [N, d]."""
    return torch.cat([look(to_pixels(drawn[i : i + size])) for i in range(0, len(drawn), size)])


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
        "sealed request": [request_picture(rng, world.SEALED, style) for _ in range(n)],
        "sealed keyword": [_keyword(rng, world.SEALED, style) for _ in range(n)],
        "craft request": [request_picture(rng, world.CRAFT, style) for _ in range(n)],
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


def request_picture(rng: random.Random, nouns: Sequence[str], style: Style) -> Picture:
    words = pictures.request_words(rng, world.random_request(rng, nouns, "test"))
    return pictures.text_picture(rng, words, style)


def _keyword(rng: random.Random, nouns: Sequence[str], style: Style) -> Picture:
    draw = pictures.captioned_picture if rng.random() < 0.4 else pictures.text_picture
    return draw(rng, on_lines(rng, world.random_topic(rng, nouns, "test")), style)
