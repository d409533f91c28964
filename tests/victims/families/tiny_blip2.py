"""BLIP-2 with OPT and with Llama: BLIP processor (one size), Q-Former, the language model's own end token."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

from tokenizers.processors import TemplateProcessing
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    LlamaConfig,
    LlamaTokenizer,
    OPTConfig,
)

from .common import Case, save, text_fields, tokenizer

SIDE, QUERIES = 28, 4
IMAGES = {
    "image_processor_type": "BlipImageProcessor",
    "size": {"height": SIDE, "width": SIDE},
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 7,
}
QFORMER = {
    "vocab_size": 300,
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "cross_attention_frequency": 2,
    "encoder_hidden_size": 32,
}


def words_with_a_begin() -> Any:
    """A tokenizer that puts its begin token in front of plain text, as those of OPT and Llama do."""
    words = tokenizer(["<image>"], None)
    begin = words.convert_tokens_to_ids("<s>")
    words._tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
    return words


def opt(words: Any) -> OPTConfig:
    """Ends replies with a line break, as the real weights do."""
    return OPTConfig(
        vocab_size=len(words),
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=words.convert_tokens_to_ids("Ċ"),
    )


def build(folder: Path, language_model: Any, words: Any) -> None:
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**VISION),
        qformer_config=Blip2QFormerConfig(**QFORMER),
        text_config=language_model,
        num_query_tokens=QUERIES,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    made = {"processor_class": "Blip2Processor", "num_query_tokens": QUERIES}
    save(folder, Blip2ForConditionalGeneration(config), words, IMAGES, made)


def with_opt(folder: Path) -> None:
    words = words_with_a_begin()
    build(folder, opt(words), words)


def llama_words() -> LlamaTokenizer:
    """As Vicuna's: a space in front of a text; what is no letter is written in bytes."""
    bytes_of = [f"<0x{k:02X}>" for k in range(256)]
    pieces = ["<unk>", "<s>", "</s>", *bytes_of, "▁", *string.ascii_letters, *":?#<>/", "▁a"]
    vocabulary = {piece: k for k, piece in enumerate(pieces)}
    return LlamaTokenizer(vocab=vocabulary, merges=[("▁", "a")], pad_token="<unk>", add_bos_token=True)


def with_llama(folder: Path) -> None:
    words = llama_words()
    words.add_tokens(["<image>"], special_tokens=True)
    build(folder, LlamaConfig(**text_fields(words)), words)


CASES = [
    Case("BLIP-2 OPT", "Blip2ForConditionalGeneration", with_opt, pictures=1),
    Case("BLIP-2 Llama", "Blip2ForConditionalGeneration", with_llama, pictures=1),
]
