"""How the pictures of each model family reach its language model: one file per way, one line per architecture.

A table of contents that imports nothing: config.json's "architectures" -> "module:Class".
"""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from typing import Any

_HERE = "proofglass.victims.hf.families"

FAMILIES: dict[str, str] = {
    "LlavaForConditionalGeneration": "llava:Llava",
    "Blip2ForConditionalGeneration": "blip2:Blip2",
    "InstructBlipForConditionalGeneration": "instructblip:InstructBlip",
    "MllamaForConditionalGeneration": "mllama:Mllama",
    "IdeficsForVisionText2Text": "idefics:Idefics",
    "Idefics2ForConditionalGeneration": "idefics2:Idefics2",
    "Idefics3ForConditionalGeneration": "idefics3:Idefics3",
    "SmolVLMForConditionalGeneration": "idefics3:Idefics3",
    "VipLlavaForConditionalGeneration": "llava:VipLlava",
    "LlavaNextForConditionalGeneration": "llava_next:LlavaNext",
    "LlavaOnevisionForConditionalGeneration": "llava_next:OneVision",
    "InternVLForConditionalGeneration": "internvl:InternVL",
    "Phi4MultimodalForCausalLM": "phi4:Phi4Multimodal",
    "Qwen2VLForConditionalGeneration": "qwen:Qwen2VL",
    "Qwen2_5_VLForConditionalGeneration": "qwen:Qwen2VL",
    "Qwen3VLForConditionalGeneration": "qwen:Qwen3VL",
    "Gemma3ForConditionalGeneration": "gemma3:Gemma3",
    "PaliGemmaForConditionalGeneration": "paligemma:PaliGemma",
    "LlamaForCausalLM": "causal_lm:CausalLM",
}


def family_of(architecture: str) -> type[Any] | None:
    """The adapter of an architecture; every other "...ForCausalLM" is a text-only model. None: there is no adapter."""
    target = FAMILIES.get(architecture)
    if target is None:
        target = "causal_lm:CausalLM" if architecture.endswith("ForCausalLM") else ""
    if not target:
        return None
    module, _, name = target.partition(":")
    found: type[Any] | None = getattr(importlib.import_module(f"{_HERE}.{module}"), name)
    return found


def nearest(architecture: str) -> list[str]:
    """Architectures with an adapter whose names come close to `architecture`, the closest first."""
    return get_close_matches(architecture, FAMILIES, n=3, cutoff=0.5)
