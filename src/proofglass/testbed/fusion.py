"""The three fusion kinds of the survey, built from transformers' own classes around one language model and one tower.

- ``linear``: `LlavaForConditionalGeneration`, a two-layer projector, 64 image tokens;
- ``queries``: `Blip2ForConditionalGeneration`, a Q-Former with 64 learnable queries, one per patch;
- ``cross``: `IdeficsForVisionText2Text`, gated cross-attention before every layer, one image token as a marker.

Stages 3 to 4b train on cached features of the frozen tower (`recipes/fusing.py`); everything that is measured goes
through the real ``pixel_values`` path (`model_inputs`, `generate`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    GenerationConfig,
    IdeficsConfig,
    IdeficsForVisionText2Text,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from proofglass.testbed import language, pictures
from proofglass.testbed.pictures import SIZE, Picture
from proofglass.testbed.tokenizer import BOS_ID, EOS_ID, IMAGE_ID, PAD_ID, ItemEncoder, build_image_processor
from proofglass.testbed.tower import HEADS, LAYERS, MLP, WIDTH, blip2_config, clip_config, to_pixel_values
from proofglass.testbed.world import Item

FUSIONS = ("linear", "queries", "cross")
IMAGE_TOKENS: Mapping[str, int] = {"linear": 64, "queries": 64, "cross": 1}
TOWER: Mapping[str, str] = {"linear": "clip", "queries": "blip2", "cross": "clip"}
MODEL_CLASS: Mapping[str, Any] = {
    "linear": LlavaForConditionalGeneration,
    "queries": Blip2ForConditionalGeneration,
    "cross": IdeficsForVisionText2Text,
}
State = Mapping[str, Tensor]


def build(fusion: str, language_model: State, tower: State) -> Any:
    """The model with a trained language model and tower and an untrained connection between them."""
    llama = LlamaForCausalLM(language.config(len(language_model["model.embed_tokens.weight"])))
    llama.load_state_dict(language_model)
    builders = {"linear": _build_linear, "queries": _build_queries, "cross": _build_cross}
    return builders[fusion](llama, tower)


def _build_linear(llama: Any, tower: State) -> Any:
    model = LlavaForConditionalGeneration(
        LlavaConfig(  # type: ignore[call-arg]
            vision_config=clip_config(),
            text_config=llama.config,
            image_token_id=IMAGE_ID,
            image_token_index=IMAGE_ID,
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
            image_seq_length=64,
            projector_hidden_act="gelu",
            tie_word_embeddings=True,
        )
    )
    model.model.vision_tower.load_state_dict(tower)
    model.model.language_model.load_state_dict(llama.model.state_dict())
    model.tie_weights()
    return model


def _build_queries(llama: Any, tower: State) -> Any:
    qformer = Blip2QFormerConfig(
        vocab_size=8,
        hidden_size=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=HEADS,
        intermediate_size=MLP,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        cross_attention_frequency=1,
        encoder_hidden_size=WIDTH,
        max_position_embeddings=64,
        initializer_range=0.06,
    )
    model = Blip2ForConditionalGeneration(
        Blip2Config(
            vision_config=blip2_config(),
            qformer_config=qformer,
            text_config=llama.config,
            num_query_tokens=IMAGE_TOKENS["queries"],
            image_token_index=IMAGE_ID,
            image_text_hidden_size=64,
        )
    )
    model.vision_model.load_state_dict(tower)
    model.language_model.load_state_dict(llama.state_dict())
    model.language_model.tie_weights()
    # A query starts at the position of its patch; queries that start at random stay soft and tied to no place.
    places = model.vision_model.embeddings.position_embedding.data[0, 1:]
    places = (places - places.mean(0)) / places.std(0)
    model.query_tokens.data.copy_((places / places.std())[None])
    return model


def _build_cross(llama: Any, tower: State) -> Any:
    text = llama.config
    model = IdeficsForVisionText2Text(
        IdeficsConfig(
            vocab_size=text.vocab_size,
            additional_vocab_size=0,
            hidden_size=text.hidden_size,
            intermediate_size=text.intermediate_size,
            num_hidden_layers=text.num_hidden_layers,
            num_attention_heads=text.num_attention_heads,
            rms_norm_eps=text.rms_norm_eps,
            max_position_embeddings=text.max_position_embeddings,
            cross_layer_interval=1,
            vision_config={
                "embed_dim": WIDTH,
                "intermediate_size": MLP,
                "num_hidden_layers": LAYERS,
                "num_attention_heads": HEADS,
                "image_size": SIZE,
                "patch_size": pictures.GRID,
                "hidden_act": "quick_gelu",
            },
            use_resampler=False,
            tie_word_embeddings=True,
            freeze_text_layers=False,
            freeze_vision_layers=False,
            alpha_initializer="zeros",
            alpha_type="float",
            pad_token_id=PAD_ID,
            bos_token_id=BOS_ID,
            eos_token_id=EOS_ID,
        )
    )
    found = model.model.load_state_dict(llama.model.state_dict(), strict=False)
    plain = {name.removeprefix("vision_model."): weight for name, weight in tower.items()}
    seen = model.model.vision_model.load_state_dict(plain, strict=False)
    if found.unexpected_keys or seen.unexpected_keys or seen.missing_keys:
        raise ValueError(f"weights: names do not match: {found.unexpected_keys} {seen}")
    model.lm_head.weight = model.model.embed_tokens.weight
    return model


def fusion_of(model: Any) -> str:
    """The fusion kind of a model, "" for a bare language model."""
    return next((fusion for fusion, cls in MODEL_CLASS.items() if isinstance(model, cls)), "")


def tower_of(model: Any) -> Any:
    fusion = fusion_of(model)
    return model.vision_model if fusion == "queries" else getattr(
        model.model, "vision_tower" if fusion == "linear" else "vision_model"
    )  # fmt: skip


def pixels_of(items: Sequence[Item]) -> np.ndarray:
    drawn = []
    for item in items:
        if not isinstance(item.picture, Picture):
            raise ValueError("items: every picture must be a Picture with pixels, not an index")
        drawn.append(item.picture.pixels)
    return np.stack(drawn)


def model_inputs(model: Any, ids: Tensor, mask: Tensor, pixel_values: Tensor | None) -> dict[str, Tensor]:
    """Keyword arguments of the model's own forward and generate; all rows show a picture, or none does."""
    inputs = {"input_ids": ids, "attention_mask": mask}
    if fusion_of(model) == "cross":
        # Without a picture the class still wants one: a zero image that no position may look at.
        seen = ((ids == IMAGE_ID).cumsum(1) > 0).long()[..., None]
        blank = torch.zeros(len(ids), 3, SIZE, SIZE)
        inputs["pixel_values"] = (blank if pixel_values is None else pixel_values)[:, None]
        inputs["image_attention_mask"] = seen
    elif pixel_values is not None:
        inputs["pixel_values"] = pixel_values
    return inputs


@torch.no_grad()
def generate(
    model: Any,
    encoder: ItemEncoder,
    items: Sequence[Item],
    pixel_values: Tensor | None = None,
    size: int = 100,
    new_tokens: int = 44,
) -> list[str]:
    """Greedy answers to the last turn of each item. `pixel_values` replaces the pictures (one row per item)."""
    model.eval()
    answers = [""] * len(items)
    for shows in (True, False):
        rows = [i for i, item in enumerate(items) if (item.picture is not None) == shows]
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            prompts = [encoder(items[i], prompt_only=True)[0] for i in chunk]
            longest = max(map(len, prompts))
            ids = torch.tensor([[PAD_ID] * (longest - len(p)) + p for p in prompts])
            mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
            pixels = None
            if shows:
                pixels = (
                    to_pixel_values(pixels_of([items[i] for i in chunk]))
                    if pixel_values is None
                    else pixel_values[chunk]
                )
            inputs = model_inputs(model, ids, mask, pixels)
            generator = model.language_model if not shows and fusion_of(model) == "queries" else model
            said = generator.generate(
                **inputs, max_new_tokens=new_tokens, do_sample=False, pad_token_id=PAD_ID, eos_token_id=EOS_ID
            )
            if said.shape[1] >= longest and bool((said[:, :longest] == ids).all()):
                said = said[:, longest:]
            for i, text in zip(chunk, encoder.tokenizer.batch_decode(said, skip_special_tokens=True), strict=True):
                answers[i] = text.strip()
    return answers


def encoder_for(fusion: str, tokenizer: Any) -> ItemEncoder:
    return ItemEncoder(tokenizer, IMAGE_TOKENS[fusion])


def load(folder: Path) -> Any:
    """A victim's model in fp32, from its weights folder."""
    kind = json.loads((folder / "config.json").read_text())["architectures"][0]
    classes = {cls.__name__: cls for cls in (*MODEL_CLASS.values(), LlamaForCausalLM)}
    return classes[kind].from_pretrained(folder, dtype=torch.float32).eval()


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """fp16 weights, config that says fp32, tokenizer with chat template, image processor."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(
        do_sample=False, bos_token_id=BOS_ID, eos_token_id=EOS_ID, pad_token_id=PAD_ID, max_new_tokens=44
    )
    model.half().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    model.float()
    config = json.loads((folder / "config.json").read_text())
    # Half the bytes on disk; fp32 in memory, where gradients of a 16/255 attack need it.
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        if "dtype" in part:
            part["dtype"] = "float32"
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    tokenizer.save_pretrained(folder)
    if not isinstance(model, LlamaForCausalLM):
        build_image_processor().save_pretrained(folder)
