"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: smart resize, flat patches shown twice, places in three coordinates; windows in
the tower (2.5); features of several of its layers (3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from .common import Case, save, template, text_fields, tokenizer

START, IMAGE, END, VIDEO = "<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>"
PATCH, MERGE = 4, 2
IMAGES = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "min_pixels": 2 * (PATCH * MERGE) ** 2,
    "max_pixels": 30 * (PATCH * MERGE) ** 2,
    "patch_size": PATCH,
    "temporal_patch_size": 2,
    "merge_size": MERGE,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}


def words_and_ids() -> tuple[Any, dict[str, int]]:
    words = tokenizer([START, IMAGE, END, VIDEO], template(START + IMAGE + END))
    names = {"vision_start": START, "image": IMAGE, "vision_end": END, "video": VIDEO}
    return words, {f"{name}_token_id": words.convert_tokens_to_ids(token) for name, token in names.items()}


def build(folder: Path) -> None:
    words, ids = words_and_ids()
    vision = {"depth": 2, "embed_dim": 32, "num_heads": 2, "hidden_size": 32, "patch_size": PATCH}
    config = Qwen2VLConfig(text_config=text_fields(words, rope_parameters=ROPE), vision_config=vision, **ids)
    save(folder, Qwen2VLForConditionalGeneration(config), words, IMAGES, {"processor_class": "Qwen2VLProcessor"})


def build_2_5(folder: Path) -> None:
    words, ids = words_and_ids()
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 64,
        "out_hidden_size": 32,
        "patch_size": PATCH,
        "window_size": 2 * PATCH * MERGE,
        "fullatt_block_indexes": [1],
    }
    config = Qwen2_5_VLConfig(text_config=text_fields(words, rope_parameters=ROPE), vision_config=vision, **ids)
    save(folder, Qwen2_5_VLForConditionalGeneration(config), words, IMAGES, {"processor_class": "Qwen2_5_VLProcessor"})


def build_3(folder: Path) -> None:
    words, ids = words_and_ids()
    vision = {
        "depth": 3,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 64,
        "out_hidden_size": 32,
        "patch_size": PATCH,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0, 1],
    }
    rope = {**ROPE, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    text = text_fields(words, rope_parameters=rope, head_dim=8, num_hidden_layers=3)
    config = Qwen3VLConfig(text_config=text, vision_config=vision, **ids)
    images = {**IMAGES, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    bounds = {"shortest_edge": images.pop("min_pixels"), "longest_edge": images.pop("max_pixels")}
    images |= {"image_processor_type": "Qwen2VLImageProcessorFast", "size": bounds}
    save(folder, Qwen3VLForConditionalGeneration(config), words, images, {"processor_class": "Qwen3VLProcessor"})


CASES = [
    Case("Qwen2-VL", "Qwen2VLForConditionalGeneration", build),
    Case("Qwen2.5-VL", "Qwen2_5_VLForConditionalGeneration", build_2_5),
    Case("Qwen3-VL", "Qwen3VLForConditionalGeneration", build_3),
]
