"""LLaVA-NeXT: tiles of any resolution, the padding left out, a new line behind each row."""

from __future__ import annotations

from pathlib import Path

from transformers import CLIPVisionConfig, LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration

from .common import Case, save, template, text_fields, tokenizer

SIDE = 28
CANVASES = [[SIDE * rows, SIDE * columns] for rows, columns in ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))]


def build(folder: Path) -> None:
    words = tokenizer(["<image>"], template("<image>", "\n"))
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=7,
        ),
        text_config=LlamaConfig(**text_fields(words)),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=CANVASES,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    save(
        folder,
        LlavaNextForConditionalGeneration(config),
        words,
        {
            "image_processor_type": "LlavaNextImageProcessor",
            "image_grid_pinpoints": CANVASES,
            "size": {"shortest_edge": SIDE},
            "crop_size": {"height": SIDE, "width": SIDE},
            "do_center_crop": True,
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "do_pad": True,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3,
        },
        {
            "processor_class": "LlavaNextProcessor",
            "patch_size": 7,
            "num_additional_image_tokens": 1,
            "vision_feature_select_strategy": "default",
            "image_token": "<image>",
        },
    )


CASES = [Case("LLaVA-NeXT", "LlavaNextForConditionalGeneration", build)]
