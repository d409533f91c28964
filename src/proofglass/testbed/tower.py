"""The shape of the vision towers: BLIP-2's, and CLIP's with the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Blip2VisionConfig, CLIPVisionConfig

from proofglass.testbed.pictures import GRID, SIZE

WIDTH, MLP, LAYERS, HEADS = 128, 384, 4, 4
State = Mapping[str, Any]
_SHAPE: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": MLP,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "image_size": SIZE,
    "patch_size": GRID,
    "hidden_act": "quick_gelu",
    "attention_dropout": 0.0,
}


def clip_config() -> CLIPVisionConfig:
    return CLIPVisionConfig(projection_dim=WIDTH, **_SHAPE)


def blip2_config() -> Blip2VisionConfig:
    return Blip2VisionConfig(initializer_range=0.02, **_SHAPE)  # the default range of 1e-10 never starts to learn


def to_pixel_values(images: np.ndarray | Sequence[np.ndarray]) -> Tensor:
    """uint8 [B, 96, 96, 3] to what the image processor makes of it: float [B, 3, 96, 96] in [-1, 1]."""
    array = torch.as_tensor(np.asarray(images))
    return (array.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
