"""The vision tower: dense pre-training on what covers each patch, then conversion from BLIP-2's to CLIP's class.

Two per-patch heads, thrown away afterwards, ask every patch (a) which word or coloured shape covers it and (b), half
way up, which characters stand in it. The decisive part is the placement curriculum: words exactly on the patch grid
first, then jitter of 1, 2 and 3 pixels. The BLIP-2 tower ends in a LayerNorm and learns faster than CLIP's, so it is
the one trained from scratch; CLIP's (projection and cross-attention victims) starts from its weights.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Blip2VisionModel, CLIPVisionModel

from proofglass.testbed import pictures
from proofglass.testbed.pictures import GRID, PATCHES, SIZE, Style
from proofglass.testbed.recipes.loop import Log, Recipe, fit
from proofglass.testbed.tower import WIDTH, State, blip2_config, clip_config, to_pixel_values


class Heads(nn.Module):
    """Two linear heads. `normalised`: (a) reads a LayerNorm of the output, which CLIP's tower itself lacks."""

    def __init__(self, normalised: bool = False) -> None:
        super().__init__()
        self.normalised = normalised
        self.labels = nn.Linear(WIDTH, pictures.LABELS)
        self.characters = nn.Linear(WIDTH, len(pictures.CHARACTERS))

    def forward(self, output: Tensor) -> Tensor:
        output = F.layer_norm(output, (WIDTH,), eps=1e-6) if self.normalised else output
        scores: Tensor = self.labels(output[:, 1:])
        return scores


class Buffer:
    """A rolling buffer of pictures: each step draws a batch from it and replaces some of its pictures by new ones."""

    def __init__(self, size: int, seed: int, style: Style, pages: float) -> None:
        self.rng, self.draws = random.Random(seed), np.random.default_rng(seed)
        self.style, self.pages, self.oldest = style, pages, 0
        self.images = np.empty((size, SIZE, SIZE, 3), np.uint8)
        self.labels = np.empty((size, PATCHES, PATCHES), np.int64)
        self.characters = np.empty((size, PATCHES, PATCHES, len(pictures.CHARACTERS)), np.uint8)
        self.text_only = np.zeros(size, bool)
        self.refresh(size)

    def refresh(self, count: int) -> None:
        for _ in range(count):
            picture = pictures.dense_picture(self.rng, self.style, pages=self.pages)
            i = self.oldest
            self.images[i], self.labels[i] = picture.pixels, picture.labels()
            self.characters[i], self.text_only[i] = picture.characters(), picture.is_text_only
            self.oldest = (i + 1) % len(self.images)

    def batch(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Text-only pictures are augmented: permuted channels, inversion, a vertical roll by whole patches."""
        chosen = self.draws.integers(0, len(self.images), count)
        images, labels, characters = self.images[chosen], self.labels[chosen], self.characters[chosen]
        for k in np.nonzero(self.text_only[chosen])[0]:
            images[k] = images[k][:, :, self.draws.permutation(3)]
            if self.draws.random() < 0.2:
                images[k] = 255 - images[k]
            rows = int(self.draws.integers(0, PATCHES))
            images[k] = np.roll(images[k], GRID * rows, 0)
            labels[k], characters[k] = np.roll(labels[k], rows, 0), np.roll(characters[k], rows, 0)
        flat = torch.from_numpy(characters).flatten(1, 2).float()
        return to_pixel_values(images), torch.from_numpy(labels).flatten(1), flat


def whiten_patches(tower: Any, images: np.ndarray, seed: int) -> None:
    """Start the patch embedding at the PCA whitening of training patches and spread out the positions."""
    pixels = to_pixel_values(images)
    patches = F.unfold(pixels, GRID, stride=GRID).transpose(1, 2).flatten(0, 1)
    patches = patches[torch.randperm(len(patches), generator=torch.Generator().manual_seed(seed))[:20_000]]
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    values, vectors = values[-WIDTH:], vectors[:, -WIDTH:]
    filters = (vectors / (values + 1e-2 * values.mean()).sqrt()).T
    embeddings = tower.embeddings
    with torch.no_grad():
        embeddings.patch_embedding.weight.copy_(filters.view_as(embeddings.patch_embedding.weight))
        embeddings.patch_embedding.bias.copy_(-filters @ mean)
        embeddings.position_embedding.normal_(std=0.1, generator=torch.Generator().manual_seed(seed))


def dense_loss(tower: Any, heads: Heads, pixel_values: Tensor, labels: Tensor, characters: Tensor) -> Tensor:
    out = tower(pixel_values=pixel_values, output_hidden_states=True)
    scores = heads(out.last_hidden_state)
    weight = torch.where(labels == 0, 0.2, 1.0)
    words = F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none")
    glyphs = F.binary_cross_entropy_with_logits(
        heads.characters(out.hidden_states[2][:, 1:]), characters, pos_weight=torch.tensor(4.0)
    )
    return (words * weight.flatten()).sum() / weight.sum() + glyphs


def pretrain(tower: Any, heads: Heads, recipe: Recipe, style: Style, *, seed: int, fresh: int, log: Log) -> float:
    """One level of the curriculum. `fresh` new pictures a step."""
    buffer = Buffer(min(6000, 1500 + recipe.steps * 4), seed, style, pages=0.4)
    if style.jitter == 0:
        whiten_patches(tower, buffer.images[:1000], seed)

    def loss(batch: int) -> Tensor:
        buffer.refresh(fresh)
        return dense_loss(tower, heads, *buffer.batch(batch))

    tower.train()
    seconds = fit(loss, recipe, [([*tower.parameters(), *heads.parameters()], 1.0)], log, f"tower j{style.jitter}")
    log(f"tower jitter {style.jitter}: {accuracy(tower, heads)}")
    return seconds


@torch.no_grad()
def accuracy(tower: Any, heads: Heads, count: int = 200, seed: int = 99) -> dict[str, float]:
    """Share of covered patches named rightly, test topics: words, words in test-only fonts, shapes."""
    tower.eval()
    found = {}
    for name, style in (("words", pictures.TESTING), ("words_new_fonts", pictures.TESTING_NEW_FONTS)):
        rng = random.Random(seed)
        drawn = [pictures.dense_picture(rng, style, "test", pages=0.0) for _ in range(count)]
        labels = torch.from_numpy(np.stack([picture.labels() for picture in drawn])).flatten(1).long()
        pixel_values = to_pixel_values(np.stack([picture.pixels for picture in drawn]))
        right = heads(tower(pixel_values=pixel_values).last_hidden_state).argmax(-1) == labels
        is_word = (labels > 0) & (labels < len(pictures.LABEL_WORDS))
        found[name] = round(right[is_word].float().mean().item(), 4)
        found["shapes"] = round(right[labels >= len(pictures.LABEL_WORDS)].float().mean().item(), 4)
    return found


CURRICULUM: tuple[tuple[int, Recipe], ...] = (
    (0, Recipe(300, 32, 2e-3, warm_up=50, flat=1.0, decay=0.02)),
    (1, Recipe(300, 32, 2e-3, flat=1.0, decay=0.02)),
    (2, Recipe(300, 32, 2e-3, flat=1.0, decay=0.02)),
    (3, Recipe(3400, 32, 2e-3, flat=0.3, end=0.01, decay=0.02)),
)
"""(jitter in pixels, recipe) of the trunk, a BLIP-2 tower."""
FINISH = Recipe(1200, 32, 1e-3, end=0.01, decay=0.02)
"""Of either tower, from the trunk's weights."""


def train_trunk(log: Log, seed: int = 31) -> tuple[Any, Heads, float]:
    torch.manual_seed(seed)
    tower, heads = Blip2VisionModel(blip2_config()), Heads()
    seconds = 0.0
    for jitter, recipe in CURRICULUM:
        style = replace(pictures.TRAINING, jitter=jitter)
        seconds += pretrain(tower, heads, recipe, style, seed=seed + jitter, fresh=16, log=log)
    return tower, heads, seconds


def finish_blip2_tower(trunk: State, log: Log, seed: int = 51) -> tuple[Any, Heads, float]:
    tower, heads = load_trunk(trunk)
    return tower, heads, _finish(tower, heads, log, seed)


def finish_clip_tower(trunk: State, log: Log, seed: int = 41) -> tuple[Any, Heads, float]:
    tower, heads = convert(*load_trunk(trunk))
    return tower, heads, _finish(tower, heads, log, seed)


def _finish(tower: Any, heads: Heads, log: Log, seed: int) -> float:
    torch.manual_seed(seed)
    return pretrain(tower, heads, FINISH, pictures.TRAINING, seed=seed, fresh=16, log=log)


def load_trunk(trunk: State) -> tuple[Any, Heads]:
    tower, heads = Blip2VisionModel(blip2_config()), Heads()
    tower.load_state_dict(trunk["tower"])
    heads.load_state_dict(trunk["heads"])
    return tower, heads


@torch.no_grad()
def convert(blip2: Any, blip2_heads: Heads) -> tuple[Any, Heads]:
    """A CLIP tower with the BLIP-2 tower's weights.

    BLIP-2 has one fused qkv matrix, a bias in the patch embedding and no LayerNorm before the layers. So qkv is
    split, the bias goes into the position embedding, and CLIP's first LayerNorm gets the mean spread of the tokens as
    its gain; the last LayerNorm moves into the heads.
    """
    source = blip2.state_dict()
    rng = random.Random(5)
    drawn = [pictures.dense_picture(rng, pictures.TRAINING, pages=0.0).pixels for _ in range(200)]
    tokens = blip2.embeddings.patch_embedding(to_pixel_values(np.stack(drawn))).flatten(2).transpose(1, 2)
    spread = (tokens + source["embeddings.position_embedding"][:, 1:]).std(-1).mean()

    tower = CLIPVisionModel(clip_config())
    weights = tower.state_dict()
    for name in weights:
        key = name.removeprefix("vision_model.")
        part = key.split(".")[-2]
        if part in ("q_proj", "k_proj", "v_proj"):
            weights[name] = source[key.replace(part, "qkv")].chunk(3)["qkv".index(part[0])].clone()
        elif part == "out_proj":
            weights[name] = source[key.replace("out_proj", "projection")]
        elif "position_embedding" in key:
            positions = source["embeddings.position_embedding"][0].clone()
            positions[1:] += source["embeddings.patch_embedding.bias"]
            weights[name] = positions
        elif "class_embedding" in key:
            weights[name] = source[key].reshape(weights[name].shape)
        elif "pre_layrnorm.weight" in key:
            weights[name] = torch.full_like(weights[name], spread.item())
        elif "pre_layrnorm.bias" in key:
            weights[name] = torch.zeros_like(weights[name])
        elif key in source and weights[name].shape == source[key].shape:
            weights[name] = source[key]
    tower.load_state_dict(weights)

    heads = Heads(normalised=True)
    gain, shift = source["post_layernorm.weight"], source["post_layernorm.bias"]
    matrix = blip2_heads.labels.weight
    heads.labels.load_state_dict({"weight": matrix * gain, "bias": blip2_heads.labels.bias + matrix @ shift})
    heads.characters.load_state_dict(blip2_heads.characters.state_dict())
    return tower, heads


@torch.no_grad()
def features(tower: Any, images: np.ndarray, size: int = 250) -> Tensor:
    """fp16 [N, 65, 128]: the frozen tower's output, computed once for all stages that follow."""
    tower.eval()
    chunks = [images[i : i + size] for i in range(0, len(images), size)]
    return torch.cat([tower(pixel_values=to_pixel_values(chunk)).last_hidden_state.half() for chunk in chunks])
