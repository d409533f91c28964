"""InstructBLIP with Llama: a Q-Former that reads the prompt through a WordPiece tokenizer of its own."""

from __future__ import annotations

import string
from pathlib import Path

from transformers import (
    BertTokenizer,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
    LlamaConfig,
)

from .common import Case, save, text_fields
from .tiny_blip2 import IMAGES, QFORMER, QUERIES, VISION, llama_words

READS = 96  # positions of the Q-Former


def qformer_words() -> BertTokenizer:
    """Letters and their continuations, digits and marks: lower case, as the real one."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
    letters = [*string.ascii_lowercase, *string.digits]
    pieces = [*specials, *letters, *(f"##{letter}" for letter in letters), *string.punctuation]
    return BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, bos_token="[DEC]")


def build(folder: Path) -> None:
    words, reads = llama_words(), qformer_words()
    words.add_tokens(["<image>"], special_tokens=True)
    config = InstructBlipConfig(
        vision_config=InstructBlipVisionConfig(**VISION),
        qformer_config=InstructBlipQFormerConfig(
            **{**QFORMER, "vocab_size": len(reads), "max_position_embeddings": READS}
        ),
        text_config=LlamaConfig(**text_fields(words)),
        num_query_tokens=QUERIES,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    made = {"processor_class": "InstructBlipProcessor", "num_query_tokens": QUERIES}
    save(folder, InstructBlipForConditionalGeneration(config), words, IMAGES, made)
    reads.save_pretrained(folder / "qformer_tokenizer")


CASES = [Case("InstructBLIP", "InstructBlipForConditionalGeneration", build, path="vision", pictures=1)]
