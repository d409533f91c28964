"""`train(out=, build=)`: a surrogate captioner, from nothing, in the form of LLaVA.

A CLIP-class tower, a two-layer projector and a three-layer Llama, each narrower than the victims' and drawn, trained
and seeded apart from them: it shares no weight with any victim. It says what is in a picture and nothing else, which
is what text-description transfer needs (Dong et al. 2023): a model that answers "describe the picture .".

The same steps as for testbed-linear, shorter: the tower on what covers each patch; the language model on symbolic
pictures (the token of a patch is the embedding of what covers it); the projector towards these embeddings; then both
together on real pictures.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from proofglass.testbed import cards, fusion, pictures, world
from proofglass.testbed.pictures import PATCHES, SIZE, TESTING, TRAINING, Picture, Style
from proofglass.testbed.recipes import fusing
from proofglass.testbed.recipes.language import answer_loss, symbols
from proofglass.testbed.recipes.loop import Log, Recipe, fit
from proofglass.testbed.recipes.losses import dense_loss
from proofglass.testbed.recipes.mixes import Pool
from proofglass.testbed.recipes.scenes import Scene, Stream, draw_scene, to_pixels
from proofglass.testbed.recipes.stages import Build
from proofglass.testbed.recipes.tower import features
from proofglass.testbed.surrogate_nets import whitening
from proofglass.testbed.tokenizer import BOS_ID, EOS_ID, IMAGE_ID, PAD_ID, ItemEncoder, build_tokenizer
from proofglass.testbed.world import Item, Split, Turn

NAME = "surrogate-captioner"
SEEDS = {"tower": 7601, "pool": 7602, "symbolic": 7603, "tokens": 7604, "tuning": 7605}
RECIPES = {
    "tower": Recipe(1300, 32, 2e-3, warm_up=50, flat=0.4, decay=0.02),
    "symbolic": Recipe(850, 32, 2e-3, warm_up=50, flat=0.4),
    "tuning": Recipe(300, 32, 1e-3),
}
POOL = 7000
TOWER_WIDTH = 96
SYMBOL_NOISE = 0.03
"""Share of patches whose symbol is lost: about what a tower trained this briefly gets wrong."""


def build() -> Any:
    """The untrained model: 0.9 million parameters."""
    vision = CLIPVisionConfig(
        hidden_size=TOWER_WIDTH,
        intermediate_size=3 * TOWER_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=pictures.GRID,
        hidden_act="quick_gelu",
        projection_dim=TOWER_WIDTH,
    )
    text = LlamaConfig(
        vocab_size=len(build_tokenizer()),
        hidden_size=112,
        intermediate_size=336,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    return LlavaForConditionalGeneration(
        LlavaConfig(  # type: ignore[call-arg]
            vision_config=vision,
            text_config=text,
            image_token_id=IMAGE_ID,
            image_token_index=IMAGE_ID,
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
            image_seq_length=PATCHES**2,
            projector_hidden_act="gelu",
            tie_word_embeddings=True,
        )
    )


# ------------------------------------------------------------------------------------------------ pictures, captions


def caption(scene: Scene) -> str:
    """What the captioner says: the shapes from left to right, then the words (numbers of items left out)."""
    parts = []
    if shapes := scene.picture.shapes:
        places = ([""], [" on the left", " on the right"], [" on the left", " in the middle", " on the right"])
        seen = zip(shapes, places[len(shapes) - 1], strict=True)
        parts.append("there is " + " and ".join(f"a {colour} {shape}{place}" for (colour, shape), place in seen) + " .")
    if words := written(scene):
        parts.append(world.it_says(words))
    return " ".join(parts)


def written(scene: Scene) -> list[str]:
    """The words of the picture in order; of two equal neighbours one (a patch repeats the word that covers it)."""
    words = [pictures.LABEL_WORDS[k] for _, k in scene.picture.things if 0 < k < len(pictures.LABEL_WORDS)]
    return [word for i, word in enumerate(words) if i == 0 or word != words[i - 1]]


def item(rng: random.Random, style: Style = TRAINING, split: Split = "train") -> Item:
    """A picture, "describe" or "read", and its caption."""
    while True:
        scene = draw_scene(rng, style, split)
        if not scene.is_page:
            questions = world.DESCRIBE if scene.picture.shapes or rng.random() < 0.5 else world.READ
            return Item((Turn(rng.choice(questions[split]), caption(scene)),), "caption", picture=scene.picture)


def draw_pool(count: int, seed: int) -> Pool:
    """Items whose picture is an index into the pool's pictures and labels."""
    rng = random.Random(seed)
    drawn = [item(rng) for _ in range(count)]
    seen = [_picture(one) for one in drawn]
    items = [Item(one.turns, "caption", picture=index) for index, one in enumerate(drawn)]
    labels = np.stack([picture.labels().ravel() for picture in seen])
    return Pool({"caption": items}, np.stack([picture.pixels for picture in seen]), labels)


def _picture(one: Item) -> Picture:
    assert isinstance(one.picture, Picture)
    return one.picture


# ------------------------------------------------------------------------------------------------ training


def train(*, out: Path, build_folder: Path, log: Log = print, recipes: Mapping[str, Recipe] = RECIPES) -> Path:
    """Train the captioner and write its folder to ``out / "surrogate-captioner"``; finished stages are reused."""
    stages = Build(build_folder, log)
    tokenizer = build_tokenizer()
    encoder = ItemEncoder(tokenizer, PATCHES**2)

    def tower() -> dict[str, Any]:
        torch.manual_seed(SEEDS["tower"])
        model = build()
        took = _train_tower(model.model.vision_tower, recipes["tower"], log)
        return {"model": model.state_dict(), "seconds": took}

    def whole() -> dict[str, Any]:
        model = _resume(first)
        pool = draw_pool(min(POOL, 10 * recipes["tower"].steps), SEEDS["pool"])
        took = {"symbolic": _train_symbolic(model, encoder, pool, recipes["symbolic"], log)}
        seen = features(model.model.vision_tower, pool.images)
        took["tokens"] = fusing.align_tokens(model, encoder, pool, seen, log, SEEDS["tokens"])
        took["tuning"] = _tune(model, encoder, pool, seen, recipes["tuning"], log)
        return {"model": model.state_dict(), "seconds": took}

    first = stages.stage(f"{NAME}-tower", tower)
    stage = stages.stage(NAME, whole)
    seconds = {"tower": first["seconds"], **stage["seconds"]}
    model = _resume(stage)
    folder = out / NAME
    fusion.save(model, tokenizer, folder)
    cards.write_card(folder, _card(folder, seconds, recipes))
    log(f"{NAME}: written to {folder}")
    return folder


def _resume(stage: Mapping[str, Any]) -> Any:
    model = build()
    model.load_state_dict(stage["model"])
    return model


def _train_tower(tower: Any, recipe: Recipe, log: Log) -> float:
    stream = Stream(SEEDS["tower"], pictures.GRID, pages=0.3)
    filters, shift = whitening(to_pixels([s.picture for s in stream.held[:400]]), pictures.GRID, TOWER_WIDTH)
    with torch.no_grad():
        tower.embeddings.patch_embedding.weight.copy_(filters)
        # CLIP's patch embedding has no bias: the positions carry it.
        places = tower.embeddings.position_embedding.weight
        places.normal_(std=0.1)
        places[1:] += shift
    head = nn.Sequential(nn.LayerNorm(TOWER_WIDTH), nn.Linear(TOWER_WIDTH, pictures.LABELS))
    steps = 0

    def loss(batch: int) -> Tensor:
        nonlocal steps
        _, pixels, labels = stream.batch(batch, steps / recipe.steps)
        steps += 1
        return dense_loss(head(tower(pixel_values=2 * pixels - 1).last_hidden_state[:, 1:]), labels)

    tower.train()
    return fit(loss, recipe, [([*tower.parameters(), *head.parameters()], 1.0)], log, "captioner tower")


def _train_symbolic(model: Any, encoder: ItemEncoder, pool: Pool, recipe: Recipe, log: Log) -> float:
    torch.manual_seed(SEEDS["symbolic"])
    rng = random.Random(SEEDS["symbolic"])
    labels_of = torch.from_numpy(pool.labels).long()

    def loss(batch: int) -> Tensor:
        items = rng.sample(pool.items["caption"], batch)
        ids, labels, mask = encoder.batch(items)
        shown = labels_of[[int(one.picture) for one in items]]  # type: ignore[call-overload]
        shown = torch.where(torch.rand(shown.shape) < SYMBOL_NOISE, 0, shown)
        embeddings = model.get_input_embeddings()
        embedded = embeddings(ids)
        tokens = symbols(embeddings.weight, encoder)[shown]
        embedded = embedded.masked_scatter((ids == IMAGE_ID)[..., None].expand_as(embedded), tokens)
        hidden = model.model.language_model(
            inputs_embeds=embedded, attention_mask=mask, use_cache=False
        ).last_hidden_state
        return answer_loss(hidden, labels, model.lm_head)

    model.train()
    llama = model.model.language_model.parameters()
    return fit(loss, recipe, [(llama, 1.0)], log, "captioner symbolic")


def _tune(model: Any, encoder: ItemEncoder, pool: Pool, seen: Tensor, recipe: Recipe, log: Log) -> float:
    torch.manual_seed(SEEDS["tuning"])
    rng = random.Random(SEEDS["tuning"])
    new, old = fusing.freeze_tower(model)

    def loss(batch: int) -> Tensor:
        items = rng.sample(pool.items["caption"], batch)
        chosen = seen[[int(one.picture) for one in items]].float()  # type: ignore[call-overload]
        found: Tensor = fusing.loss_from_features(
            model, *encoder.batch(items), chosen, torch.ones(len(items), dtype=torch.bool)
        )
        return found

    model.train()
    return fit(loss, recipe, [(new, 2.0), (old, 1.0)], log, "captioner tuning")


# ------------------------------------------------------------------------------------------------ what it can do


def measure(folder: Path, n: int = 200, seed: int = 95) -> dict[str, Any]:
    """Share of captions of fresh test pictures that are exact, and of their content words that are named."""
    model, encoder = fusion.load(folder), ItemEncoder(build_tokenizer(), PATCHES**2)
    rng = random.Random(seed)
    items = [item(rng, TESTING, "test") for _ in range(n)]
    said = fusion.generate(model, encoder, items, new_tokens=48)
    told = [content(one.expected) for one in items]
    named = sum(len(words & content(text)) for words, text in zip(told, said, strict=True))
    exact = sum(one.expected == text for one, text in zip(items, said, strict=True))
    return {"exact": round(exact / n, 4), "words": round(named / sum(map(len, told)), 4), "n": n}


def content(text: str) -> set[str]:
    """Colours, shapes and written words of a caption."""
    kept = {*world.COLOURS, *world.SHAPES, *pictures.LABEL_WORDS[1:]} - {"a", "the", "to"}
    return kept & set(text.split())


def _card(folder: Path, seconds: Mapping[str, float], recipes: Mapping[str, Recipe]) -> dict[str, Any]:
    weights = (folder / "model.safetensors").read_bytes()
    return {
        "name": NAME,
        "fusion": "linear",
        "alignment": "captions only",
        "class": "LlavaForConditionalGeneration",
        "image_tokens": PATCHES**2,
        "parameters": sum(p.numel() for p in build().parameters()),
        "weights": {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest(), "dtype": "float16"},
        "layout": None,
        "data": {"tower pictures": 2500 + 16 * recipes["tower"].steps, "captioned pictures": POOL},
        "recipe": {name: asdict(recipe) for name, recipe in recipes.items()},
        "stages": [{"stage": name, "seconds": round(value)} for name, value in seconds.items()],
        "training_seconds": round(sum(seconds.values())),
        "seeds": SEEDS,
        "versions": cards.versions(),
        "declarations": DECLARATIONS,
        "measured": measure(folder),
        "table": None,
    }


DECLARATIONS: Sequence[str] = (
    "Pictures of the same fictional world as the victims', drawn with seeds of its own; topics with crc32 % 5 == 0 and "
    "the test wordings are in none of them.",
    "Trained from nothing: no weight, no feature and no answer of a victim. It captions and reads; it knows no request "
    "and no refusal.",
    "Its language model learned to look on symbolic pictures, as those of the victims did. Real models have no such "
    "labels.",
)
