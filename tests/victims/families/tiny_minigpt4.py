"""MiniGPT-4, assembled from a BLIP-2 with T5, a Llama and a linear layer."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
)

from proofglass.victims.hf.families.minigpt4 import assemble

from .common import Case, save, shaken, text_fields
from .tiny_blip2 import IMAGES, QFORMER, QUERIES, VISION, llama_words


def parts(folder: Path) -> tuple[Path, Path, Path]:
    """Folders of BLIP-2 and of the language model, file of the layer."""
    words = llama_words()
    language = T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    blip2 = Blip2Config(
        vision_config=Blip2VisionConfig(**VISION),
        qformer_config=Blip2QFormerConfig(**QFORMER),
        text_config=language,
        num_query_tokens=QUERIES,
    )
    made = {"processor_class": "Blip2Processor", "num_query_tokens": QUERIES}
    save(folder / "blip2", Blip2ForConditionalGeneration(blip2), words, IMAGES, made)
    llama = shaken(LlamaForCausalLM(LlamaConfig(**text_fields(words))), seed=1)
    llama.save_pretrained(folder / "llama", max_shard_size="40KB")
    words.save_pretrained(folder / "llama")
    layer = {"llama_proj.weight": torch.randn(32, 24) / 5, "llama_proj.bias": torch.randn(32) / 5}
    save_file(layer, folder / "layer.safetensors")
    return folder / "blip2", folder / "llama", folder / "layer.safetensors"


def build(folder: Path) -> None:
    assemble(*parts(folder.parent / f"{folder.name}-parts"), folder)


CASES = [Case("MiniGPT-4", "Blip2ForConditionalGeneration", build)]
