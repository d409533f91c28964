"""PaliGemma with Gemma (one kind of layer) and with Gemma 2 (a short window, capped logits, eager attention): pictures
and prompt in both directions, SigLIP processor, no chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Gemma2Config, GemmaConfig, PaliGemmaConfig, PaliGemmaForConditionalGeneration

from .common import Case, save, text_fields, tokenizer
from .tiny_gemma3 import SIDE, siglip

TOKENS, WINDOW = 16, 12
IMAGES = {
    "image_processor_type": "SiglipImageProcessor",
    "size": {"height": SIDE, "width": SIDE},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 3,
    "image_seq_length": TOKENS,
}


def build(folder: Path, language_model: Any, words: Any) -> None:
    config = PaliGemmaConfig(
        text_config=language_model,
        vision_config=siglip(),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        projection_dim=32,
        hidden_size=32,
    )
    made = {"processor_class": "PaliGemmaProcessor"}
    save(folder, PaliGemmaForConditionalGeneration(config), words, IMAGES, made)


def with_gemma(folder: Path) -> None:
    words = tokenizer(["<image>"], None)
    build(folder, GemmaConfig(**text_fields(words, head_dim=8)), words)


def with_gemma2(folder: Path) -> None:
    words = tokenizer(["<image>"], None)
    fields = text_fields(words, head_dim=8, query_pre_attn_scalar=8, sliding_window=WINDOW)
    build(folder, Gemma2Config(**fields, layer_types=["sliding_attention", "full_attention"]), words)


CASES = [
    Case("PaliGemma", "PaliGemmaForConditionalGeneration", with_gemma, path="vision"),
    Case("PaliGemma 2", "PaliGemmaForConditionalGeneration", with_gemma2, path="vision"),
]
