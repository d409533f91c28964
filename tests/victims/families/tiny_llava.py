"""LLaVA-1.5: CLIP processor (shortest edge, centre crop), linear projection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from .common import Case, save, template, text_fields, tokenizer


def build(folder: Path, width: int = 32, language: Callable[..., Any] = LlamaConfig, **more: Any) -> None:
    """language, more: configuration of the language model, and its fields."""
    words = tokenizer(["<image>"], template("<image>"))
    image = words.convert_tokens_to_ids("<image>")
    vision = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=28,
        patch_size=7,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=language(**text_fields(words, hidden_size=width, intermediate_size=2 * width, **more)),
        image_token_id=image,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    save(
        folder,
        LlavaForConditionalGeneration(config),
        words,
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 28},
            "crop_size": {"height": 28, "width": 28},
            "do_center_crop": True,
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3,
        },
        {
            "processor_class": "LlavaProcessor",
            "patch_size": 7,
            "num_additional_image_tokens": 1,
            "vision_feature_select_strategy": "default",
            "image_token": "<image>",
        },
    )


CASES = [Case("LLaVA-1.5", "LlavaForConditionalGeneration", build)]
