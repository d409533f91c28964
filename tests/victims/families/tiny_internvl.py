"""InternVL: up to six tiles of the closest shape and the whole, four patches to a token."""

from __future__ import annotations

from pathlib import Path

from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig, Qwen2Config

from .common import Case, save, template, text_fields, tokenizer

SIDE = 28
TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}


def build(folder: Path) -> None:
    words = tokenizer([*TOKENS.values()], template("<IMG_CONTEXT>", "\n"), extra_special_tokens=TOKENS)
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            attention_bias=True,
            image_size=SIDE,
            patch_size=7,
        ),
        text_config=Qwen2Config(**text_fields(words)),
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    save(
        folder,
        InternVLForConditionalGeneration(config),
        words,
        {
            "image_processor_type": "GotOcr2ImageProcessor",
            "crop_to_patches": False,  # as in the real folders: the processor class overrules it
            "min_patches": 1,
            "max_patches": 6,
            "size": {"height": SIDE, "width": SIDE},
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "resample": 3,
        },
        {"processor_class": "InternVLProcessor", "image_seq_length": 4},
    )


CASES = [Case("InternVL", "InternVLForConditionalGeneration", build)]
