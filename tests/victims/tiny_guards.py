"""Tiny random models of the classes that guards are, behind a chat template with a mark of its own ("<guard>")."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import (
    Gemma3TextConfig,
    GraniteConfig,
    GraniteForCausalLM,
    Llama4Config,
    Llama4ForConditionalGeneration,
    Llama4TextConfig,
    Llama4VisionConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
    ShieldGemma2Config,
    ShieldGemma2ForImageClassification,
)

from victims.families import tiny_gemma3, tiny_llava_onevision, tiny_mllama
from victims.families.common import save, shaken, text_fields, tokenizer

MARK = "you are a guard :"


def template(image: str = "", content: str = "c['text']") -> str:
    """A template that writes `MARK` before the turns, as those of guards write their task."""
    shows = (
        "{% for c in m['content'] %}{% if c['type'] == 'image' %}" + image + "{% else %}{{ " + content + " }}"
        "{% endif %}{% endfor %}"
    )
    return (
        "{{ bos_token }}" + MARK + "{% for m in messages if m['role'] != 'system' %}"
        "{{ {'user':'<user>','assistant':'<bot>'}[m['role']] }}"
        "{% if m['content'] is string %}{{ m['content'] }}{% else %}" + shows + "{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
    )


def _language_model(folder: Path, kind: Any, config: Any) -> None:
    words = tokenizer([], template())
    folder.mkdir(parents=True, exist_ok=True)
    shaken(kind(config(**text_fields(words)))).save_pretrained(folder)
    words.save_pretrained(folder)


def qwen3(folder: Path) -> None:
    _language_model(folder, Qwen3ForCausalLM, Qwen3Config)


def granite(folder: Path) -> None:
    _language_model(folder, GraniteForCausalLM, GraniteConfig)


def mllama(folder: Path) -> None:
    tiny_mllama.build(folder)
    (folder / "chat_template.jinja").write_text(template("<|image|>"))


def llava_onevision(folder: Path) -> None:
    tiny_llava_onevision.build(folder)
    (folder / "chat_template.jinja").write_text(template("<image>"))


def shieldgemma2(folder: Path) -> None:
    """The class around a tiny Gemma 3; "Yes" and "No" are the bytes "Y" and "N" of its tokenizer."""
    words = tiny_gemma3.words_that_join()
    words.chat_template = template("<start_of_image>", "c['text'] | trim")
    text = Gemma3TextConfig(
        **text_fields(words, head_dim=8, query_pre_attn_scalar=8, sliding_window=tiny_gemma3.WINDOW),
        layer_types=["sliding_attention", "full_attention"],
    )
    config = ShieldGemma2Config(
        text_config=text,
        vision_config=tiny_gemma3.siglip(),
        mm_tokens_per_image=tiny_gemma3.TOKENS,
        boi_token_index=words.convert_tokens_to_ids(tiny_gemma3.BEGIN),
        eoi_token_index=words.convert_tokens_to_ids(tiny_gemma3.END),
        image_token_index=words.convert_tokens_to_ids(tiny_gemma3.SOFT),
        yes_token_index=words.convert_tokens_to_ids("Y"),
        no_token_index=words.convert_tokens_to_ids("N"),
        architectures=["ShieldGemma2ForImageClassification"],
    )
    made = {"processor_class": "ShieldGemma2Processor", "image_seq_length": tiny_gemma3.TOKENS}
    save(folder, ShieldGemma2ForImageClassification(config), words, tiny_gemma3.IMAGES, made)


def llama4(folder: Path) -> None:
    """Dense, as Llama Guard 4 is: no layer has experts."""
    images = ["<|image|>", "<|image_start|>", "<|image_end|>", "<|patch|>"]
    tiles = ["<|tile_x_separator|>", "<|tile_y_separator|>"]
    names = {"boi_token": "<|image_start|>", "eoi_token": "<|image_end|>", "image_token": "<|image|>"}
    words = tokenizer([*images, *tiles], template("<|image|>"), model_specific_special_tokens=names)
    text = Llama4TextConfig(
        **text_fields(words, head_dim=8, intermediate_size_mlp=64),
        num_local_experts=1,
        interleave_moe_layer_step=1,
        moe_layers=[],
        attention_chunk_size=None,
        no_rope_layers=[1, 0],
    )
    vision = Llama4VisionConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        vision_output_dim=64,
        image_size=28,
        patch_size=7,
        pixel_shuffle_ratio=0.5,
        projector_input_dim=64,
        projector_output_dim=64,
    )
    config = Llama4Config(
        vision_config=vision,
        text_config=text,
        image_token_index=words.convert_tokens_to_ids("<|patch|>"),
        boi_token_index=words.convert_tokens_to_ids("<|image_start|>"),
        eoi_token_index=words.convert_tokens_to_ids("<|image_end|>"),
    )
    pictures = {
        "image_processor_type": "Llama4ImageProcessor",
        "size": {"height": 28, "width": 28},
        "max_patches": 4,
        "resize_to_max_canvas": False,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    made = {"processor_class": "Llama4Processor", "patch_size": 7, "pixel_shuffle_ratio": 0.5}
    save(folder, Llama4ForConditionalGeneration(config), words, pictures, made)
