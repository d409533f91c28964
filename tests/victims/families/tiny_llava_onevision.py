"""LLaVA-OneVision: a tower without class token and head; canvases so large that their features are shrunk."""

from __future__ import annotations

from pathlib import Path

from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Qwen2Config,
    SiglipVisionConfig,
)

from .common import Case, save, template, text_fields, tokenizer

SIDE = 28
CANVASES = [[SIDE * rows, SIDE * columns] for rows in range(1, 5) for columns in range(1, 5)]


def build(folder: Path) -> None:
    words = tokenizer(["<image>", "<video>"], template("<image>", "\n"))
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=7,
            vision_use_head=False,
        ),
        text_config=Qwen2Config(**text_fields(words)),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=CANVASES,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
    )
    save(
        folder,
        LlavaOnevisionForConditionalGeneration(config),
        words,
        {
            "image_processor_type": "LlavaOnevisionImageProcessor",
            "image_grid_pinpoints": CANVASES,
            "size": {"height": SIDE, "width": SIDE},
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "do_pad": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "resample": 3,
        },
        {
            "processor_class": "LlavaOnevisionProcessor",
            "num_image_tokens": 16,
            "vision_feature_select_strategy": "full",
            "vision_aspect_ratio": "anyres_max_9",
            "image_token": "<image>",
            "video_token": "<video>",
        },
    )


CASES = [Case("LLaVA-OneVision", "LlavaOnevisionForConditionalGeneration", build)]
