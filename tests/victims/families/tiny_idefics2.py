"""Idefics2: bounds on both sides, padding with a mask, perceiver resampler, quarters; the template of the real weights,
which goes through a message's parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Idefics2Config, Idefics2ForConditionalGeneration, MistralConfig

from .common import Case, save, text_fields, tokenizer

TEMPLATE = (
    "{% for m in messages %}{{ m['role'].capitalize() }}"
    "{% if m['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}"
    "{% elif c['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
IMAGES = {
    "image_processor_type": "Idefics2ImageProcessor",
    "size": {"shortest_edge": 20, "longest_edge": 60},
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "do_image_splitting": False,
    "do_pad": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
}


def build(folder: Path, **images: Any) -> None:
    words = tokenizer(["<image>", "<fake_token_around_image>", "<end_of_utterance>"], TEMPLATE)
    config = Idefics2Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 60,
            "patch_size": 5,
        },
        perceiver_config={
            "hidden_size": 32,
            "resampler_n_latents": 5,
            "resampler_depth": 2,
            "resampler_n_heads": 4,
            "resampler_head_dim": 8,
            "num_key_value_heads": 2,
        },
        text_config=MistralConfig(**text_fields(words, sliding_window=4096)),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        pad_token_id=0,
    )
    save(
        folder,
        Idefics2ForConditionalGeneration(config),
        words,
        {**IMAGES, **images},
        {"processor_class": "Idefics2Processor", "image_seq_len": 5},
    )


def in_quarters(folder: Path) -> None:
    build(folder, do_image_splitting=True)


CASES = [
    Case("Idefics2", "Idefics2ForConditionalGeneration", build),
    Case("Idefics2 quarters", "Idefics2ForConditionalGeneration", in_quarters),
]
