"""Mllama: tiles in several aspect ratios, gated cross-attention layers, a template that takes no system prompt beside
a picture."""

from __future__ import annotations

from pathlib import Path

from transformers import MllamaConfig, MllamaForConditionalGeneration
from transformers.models.mllama.configuration_mllama import MllamaTextConfig, MllamaVisionConfig

from .common import Case, save, template, text_fields, tokenizer

SIDE = 14
REFUSES = (
    "{% set seen = namespace(pictures=false) %}{% for m in messages %}{% if m['content'] is not string %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}{% set seen.pictures = true %}{% endif %}{% endfor %}"
    "{% endif %}{% endfor %}{% if seen.pictures and messages[0]['role'] == 'system' %}"
    "{{ raise_exception('no system message beside a picture') }}{% endif %}"
)


def build(folder: Path) -> None:
    # The marker comes last: it has an embedding behind the vocabulary, and no logit.
    words = tokenizer([], REFUSES + template("<|image|>"))
    text = MllamaTextConfig(
        **text_fields(words, num_hidden_layers=4),
        cross_attention_layers=[1, 2],
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    words.add_tokens(["<|image|>"], special_tokens=True)
    vision = MllamaVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_global_layers=1,
        attention_heads=2,
        image_size=SIDE,
        patch_size=7,
        vision_output_dim=48,
        intermediate_layers_indices=[0, 1],
    )
    config = MllamaConfig(
        vision_config=vision, text_config=text, image_token_index=words.convert_tokens_to_ids("<|image|>")
    )
    images = {
        "image_processor_type": "MllamaImageProcessor",
        "size": {"height": SIDE, "width": SIDE},
        "max_image_tiles": 4,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 2,
    }
    save(folder, MllamaForConditionalGeneration(config), words, images, {"processor_class": "MllamaProcessor"})


CASES = [Case("Mllama", "MllamaForConditionalGeneration", build, odd_sides=(3, 90))]
