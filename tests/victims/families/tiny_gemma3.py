"""Gemma 3: pictures seen in both directions, a window that is shorter than the sequence, pooled patches, a tokenizer
that joins blank lines with what follows them, a template that trims and puts the system prompt into the user's turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import models, pre_tokenizers
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3TextConfig, SiglipVisionConfig

from .common import Case, save, text_fields, tokenizer

BEGIN, SOFT, END = "<start_of_image>", "<image_soft_token>", "<end_of_image>"
SIDE, TOKENS, WINDOW = 28, 4, 12
TEMPLATE = (
    "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}"
    "{%- if messages[0]['content'] is string -%}{%- set before = messages[0]['content'] + '\n\n' -%}"
    "{%- else -%}{%- set before = messages[0]['content'][0]['text'] + '\n\n' -%}{%- endif -%}"
    "{%- set turns = messages[1:] -%}{%- else -%}{%- set before = '' -%}{%- set turns = messages -%}{%- endif -%}"
    "{%- for m in turns -%}{{ ('<user>' if m['role'] == 'user' else '<bot>') + (before if loop.first else '') }}"
    "{%- if m['content'] is string -%}{{ m['content'] | trim }}{%- else -%}{%- for c in m['content'] -%}"
    "{%- if c['type'] == 'image' -%}{{ '<start_of_image>' }}{%- else -%}{{ c['text'] | trim }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{{ '</s>\n' }}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<bot>' }}{%- endif -%}"
)
IMAGES = {
    "image_processor_type": "Gemma3ImageProcessor",
    "size": {"height": SIDE, "width": SIDE},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "do_pan_and_scan": None,
}


def words_that_join() -> Any:
    """A tokenizer with a token for two line breaks, one for four, and one for two with a letter."""
    names = {"boi_token": BEGIN, "image_token": SOFT, "eoi_token": END}
    words = tokenizer([BEGIN, SOFT, END], TEMPLATE, model_specific_special_tokens=names)
    merges = [("Ċ", "Ċ"), ("ĊĊ", "ĊĊ"), ("ĊĊ", "w")]
    vocab = words.get_vocab()
    vocab |= {a + b: len(vocab) + k for k, (a, b) in enumerate(merges)}
    words.backend_tokenizer.model = models.BPE(vocab=vocab, merges=merges)
    words.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return words


def siglip() -> SiglipVisionConfig:
    return SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=7,
        vision_use_head=False,
    )


def build(folder: Path) -> None:
    words = words_that_join()
    text = Gemma3TextConfig(
        **text_fields(words, head_dim=8, query_pre_attn_scalar=8, sliding_window=WINDOW),
        layer_types=["sliding_attention", "full_attention"],
    )
    config = Gemma3Config(
        text_config=text,
        vision_config=siglip(),
        mm_tokens_per_image=TOKENS,
        boi_token_index=words.convert_tokens_to_ids(BEGIN),
        eoi_token_index=words.convert_tokens_to_ids(END),
        image_token_index=words.convert_tokens_to_ids(SOFT),
    )
    made = {"processor_class": "Gemma3Processor", "image_seq_length": TOKENS}
    save(folder, Gemma3ForConditionalGeneration(config), words, IMAGES, made)


CASES = [Case("Gemma 3", "Gemma3ForConditionalGeneration", build)]
