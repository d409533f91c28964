"""Tiny random image encoders, saved as folders that `hf-encoder` loads: no download, no training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as t

from tiny_models import save_tokenizer

SIDE = 32
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
}
STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
SQUARE = {"height": SIDE, "width": SIDE}


def _text(words: int) -> dict[str, Any]:
    shape = {k: v for k, v in VISION.items() if k not in ("image_size", "patch_size")}
    return {
        **shape,
        "vocab_size": words,
        "max_position_embeddings": 24,
        "projection_dim": 32,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def _resnet() -> Any:
    return t.ResNetConfig(embedding_size=8, layer_type="basic", num_labels=5, **STAGES)


def _swin() -> Any:
    return t.SwinConfig(image_size=SIDE, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4)


MODELS: dict[str, Callable[[int], Any]] = {
    "clip": lambda n: t.CLIPModel(t.CLIPConfig(text_config=_text(n), vision_config=VISION, projection_dim=16)),
    "siglip": lambda n: t.SiglipModel(t.SiglipConfig(text_config=_text(n), vision_config=VISION)),
    "siglip2": lambda n: t.Siglip2Model(
        t.Siglip2Config(text_config=_text(n), vision_config={**VISION, "num_patches": 16})
    ),
    "blip": lambda n: t.BlipModel(t.BlipConfig(text_config=_text(n), vision_config=VISION, projection_dim=16)),
    "blip-itm": lambda n: t.BlipForImageTextRetrieval(
        t.BlipConfig(text_config=_text(n), vision_config=VISION, image_text_hidden_size=16)
    ),
    "clip-vision": lambda n: t.CLIPVisionModelWithProjection(t.CLIPVisionConfig(**VISION, projection_dim=16)),
    "vit": lambda n: t.ViTForImageClassification(t.ViTConfig(**VISION, num_labels=5)),
    "vit-backbone": lambda n: t.ViTModel(t.ViTConfig(**VISION), add_pooling_layer=False),
    "dinov2": lambda n: t.Dinov2WithRegistersModel(t.Dinov2WithRegistersConfig(**VISION, num_register_tokens=3)),
    "convnext": lambda n: t.ConvNextForImageClassification(t.ConvNextConfig(num_labels=5, **STAGES)),
    "resnet": lambda n: t.ResNetForImageClassification(_resnet()),
    "swin": lambda n: t.SwinForImageClassification(_swin()),
}
"""Of the size of the tokenizer."""

PROCESSORS: dict[str, Callable[[], Any]] = {
    "clip": lambda: t.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SQUARE),
    "siglip": lambda: t.SiglipImageProcessorPil(size=SQUARE),
    "siglip2": lambda: t.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16),
    "blip": lambda: t.BlipImageProcessorPil(size=SQUARE),
    "vit": lambda: t.ViTImageProcessorPil(size=SQUARE),
    "bit": lambda: t.BitImageProcessorPil(size={"shortest_edge": 36}, crop_size=SQUARE),
    "convnext": lambda: t.ConvNextImageProcessorPil(size={"shortest_edge": SIDE}),
}
OF_FAMILY = {
    "blip-itm": "blip",
    "clip-vision": "clip",
    "vit-backbone": "vit",
    "dinov2": "bit",
    "resnet": "convnext",
    "swin": "vit",
}
WITH_TEXT = ("clip", "siglip", "siglip2", "blip", "blip-itm")


def _save_gemma_like(folder: Path) -> int:
    """SigLIP 2's kind of tokenizer over single letters; returns its vocabulary size."""
    known = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    t.Siglip2Tokenizer(vocab={token: k for k, token in enumerate(known)}, padding_side="right").save_pretrained(folder)
    return len(known)


def build(family: str, folder: Path, seed: int = 0) -> Path:
    """Save a tiny random model of `family` (a key of `MODELS`) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _save_gemma_like if family == "siglip2" else save_tokenizer
    words = tokenizer(folder) if family in WITH_TEXT else 0
    t.logging.disable_progress_bar()
    torch.manual_seed(seed)
    model = MODELS[family](words)
    with torch.no_grad():
        for parameter in model.parameters():  # away from zeros and ones, so that every part of the picture matters
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    PROCESSORS[OF_FAMILY.get(family, family)]().save_pretrained(folder)
    told = folder / "preprocessor_config.json"
    assert json.loads(told.read_text())["image_processor_type"]
    return folder
