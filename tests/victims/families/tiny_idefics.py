"""IDEFICS 1: markers between fake tokens, gated cross-attention; with a resampler as real weights have, or without.

Neither folder has a chat template; the instructed one knows the end of a turn.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import IdeficsConfig, IdeficsForVisionText2Text

from .common import Case, save, text_fields, tokenizer

SIDE = 14
IMAGES = {
    "image_processor_type": "IdeficsImageProcessor",
    "image_size": SIDE,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
AROUND = ["<fake_token_around_image>", "<image>"]


def build(folder: Path, added: list[str], **more: Any) -> None:
    """added: the tokens behind the language model's own vocabulary, which have embeddings of their own."""
    words = tokenizer([], None)
    own = len(words)
    words.add_tokens(added, special_tokens=True)
    config = IdeficsConfig(
        **{**text_fields(words), "vocab_size": own},
        additional_vocab_size=len(added),
        vision_config={
            "embed_dim": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": 7,
        },
        **more,
    )
    model = IdeficsForVisionText2Text(config)
    if config.use_resampler:
        _away_from_kinks(model.model.perceiver_resampler)
    save(folder, model, words, IMAGES, {"processor_class": "IdeficsProcessor"})


def _away_from_kinks(resampler: Any) -> None:
    """Its activation is always ReLU, which has no slope at zero: each unit stays on one side, at random."""
    for _, feed in resampler.blocks:
        feed.ln.bias.data.fill_(1)
        sides = torch.randint(0, 2, (len(feed.fc.weight), 1)) - 0.5
        feed.fc.weight.data.add_(0.3 * sides)


def plain(folder: Path) -> None:
    build(folder, AROUND)


def instructed(folder: Path) -> None:
    build(
        folder,
        [*AROUND, "<end_of_utterance>"],
        alpha_type="vector",
        cross_layer_interval=2,
        qk_layer_norms=True,
        use_resampler=True,
        perceiver_config={
            "use_resampler": True,
            "resampler_depth": 2,
            "resampler_head_dim": 8,
            "resampler_n_heads": 2,
            "resampler_n_latents": 5,
            "qk_layer_norms_perceiver": True,
        },
    )
    made = json.loads((folder / "generation_config.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    end = config["vocab_size"] + len(AROUND)
    (folder / "generation_config.json").write_text(json.dumps({**made, "eos_token_id": [2, end]}))


CASES = [
    Case("IDEFICS", "IdeficsForVisionText2Text", plain, path="packed"),
    Case("IDEFICS instruct", "IdeficsForVisionText2Text", instructed, path="packed"),
]
