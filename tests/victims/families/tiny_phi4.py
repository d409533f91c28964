"""Phi-4-multimodal: dynamic tiles. Its processor counts with 32 x 32 patches to a tile, so tiles cannot be smaller; it
needs torchvision, without which this case is skipped."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import (
    Phi4MultimodalAudioConfig,
    Phi4MultimodalConfig,
    Phi4MultimodalForCausalLM,
    Phi4MultimodalVisionConfig,
)

from .common import Case, save, template, text_fields, tokenizer

SIDE, PATCH = 64, 2
TOKENS = {"image_token": "<image>", "audio_token": "<audio>"}


def needs_torchvision() -> None:
    if find_spec("torchvision") is None:
        pytest.skip("Phi-4's image processor needs torchvision: pip install torchvision (of the same build as torch)")


def build(folder: Path, switch: int = 4096) -> None:
    """switch: length from which the language model takes the longer of its two sets of rotary frequencies."""
    needs_torchvision()
    words = tokenizer([*TOKENS.values()], template("<image>"), extra_special_tokens=TOKENS)
    config = Phi4MultimodalConfig(
        vision_config=Phi4MultimodalVisionConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=PATCH,
            crop_size=SIDE,
            image_token_id=words.convert_tokens_to_ids("<image>"),
        ),
        audio_config=Phi4MultimodalAudioConfig(
            hidden_size=8,
            intermediate_size=8,
            num_blocks=1,
            num_attention_heads=2,
            ext_pw_out_channel=8,
            depthwise_separable_out_channel=8,
            nemo_conv_channels=4,
            input_size=8,
            audio_token_id=words.convert_tokens_to_ids("<audio>"),
        ),
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.75,
            "original_max_position_embeddings": switch,
            "short_factor": [1.0, 1.1, 1.2],
            "long_factor": [1.0, 2.0, 5.0],
        },
        original_max_position_embeddings=switch,
        **text_fields(words, max_position_embeddings=2 * switch),
    )
    model = Phi4MultimodalForCausalLM(config)
    with torch.no_grad():
        for parameter in model.model.embed_tokens_extend.image_embed.img_processor.parameters():
            parameter.mul_(0.1)  # made with deviations of 1
    save(
        folder,
        model,
        words,
        {
            "image_processor_type": "Phi4MultimodalImageProcessor",
            "size": {"height": SIDE, "width": SIDE},
            "patch_size": PATCH,
            "dynamic_hd": 4,
            "do_rescale": True,
            "do_normalize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "resample": 3,
        },
        {"processor_class": "Phi4MultimodalProcessor"},
    )


CASES = [Case("Phi-4-multimodal", "Phi4MultimodalForCausalLM", build, odd_sides=(40, 160))]
