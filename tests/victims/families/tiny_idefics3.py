"""Idefics3 and SmolVLM: tiles of 16 pixels, up to four along the longest edge, pixel shuffle, templates of the real
weights, which go through a message's parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    LlamaConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

from .common import Case, save, text_fields, tokenizer

TILE, PATCH = 16, 4
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'].capitalize() }}"
    "{% if m['content'][0]['type'] == 'image' %}:{% else %}: {% endif %}"
    "{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}"
    "{% elif c['type'] == 'image' %}<image>{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
PLACES = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
SPECIALS = ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *PLACES]
IMAGES = {
    "size": {"longest_edge": 4 * TILE},
    "max_image_size": {"longest_edge": TILE},
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "do_image_splitting": True,
    "do_pad": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 1,
}


def _build(folder: Path, name: str, config: Any, model: Any, images: dict[str, Any]) -> None:
    words = tokenizer(SPECIALS, TEMPLATE)
    made = config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": TILE,
            "patch_size": PATCH,
        },
        text_config=LlamaConfig(**text_fields(words)),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    tokens = (TILE // PATCH // 2) ** 2
    save(
        folder,
        model(made),
        words,
        {"image_processor_type": f"{name}ImageProcessor", **images},
        {"processor_class": f"{name}Processor", "image_seq_len": tokens},
    )


def idefics3(folder: Path, **images: Any) -> None:
    _build(folder, "Idefics3", Idefics3Config, Idefics3ForConditionalGeneration, {**IMAGES, **images})


def smolvlm(folder: Path, **images: Any) -> None:
    _build(folder, "SmolVLM", SmolVLMConfig, SmolVLMForConditionalGeneration, {**IMAGES, **images})


CASES = [
    Case("Idefics3", "Idefics3ForConditionalGeneration", idefics3),
    Case("SmolVLM", "SmolVLMForConditionalGeneration", smolvlm),
]
