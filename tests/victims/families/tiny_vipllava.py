"""ViP-LLaVA: several layers of the tower; LLaVA's own processor, which pads to a square."""

from __future__ import annotations

from pathlib import Path

from transformers import CLIPVisionConfig, LlamaConfig, VipLlavaConfig, VipLlavaForConditionalGeneration

from .common import Case, save, template, text_fields, tokenizer

SIDE = 28


def build(folder: Path) -> None:
    words = tokenizer(["<image>"], template("<image>", "\n"))
    config = VipLlavaConfig(
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
        vision_feature_layer=[-2, 1],
    )
    save(
        folder,
        VipLlavaForConditionalGeneration(config),
        words,
        {
            "image_processor_type": "LlavaImageProcessor",
            "size": {"shortest_edge": SIDE},
            "crop_size": {"height": SIDE, "width": SIDE},
            "do_pad": True,
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


CASES = [Case("ViP-LLaVA", "VipLlavaForConditionalGeneration", build)]
