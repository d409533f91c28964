"""Differentiable twins of the official image processors: from an 8-bit picture of any size to what a model takes.

A table of contents that imports nothing: name of the image processor -> "module:Class".
"""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from proofglass.errors import UsageError

if TYPE_CHECKING:
    from proofglass.victims.hf.twins.base import Twin

_HERE = "proofglass.victims.hf.twins"

TWINS: dict[str, str] = {
    "CLIPImageProcessor": "fixed:Fixed",
    "BlipImageProcessor": "fixed:Fixed",
    "SiglipImageProcessor": "fixed:Fixed",
    "ViTImageProcessor": "fixed:Fixed",
    "MllamaImageProcessor": "mllama:Mllama",
    "IdeficsImageProcessor": "fixed:Fixed",
    "Qwen2VLImageProcessor": "qwen:SmartResize",
    "Gemma3ImageProcessor": "gemma3:Gemma3",
    "LlavaImageProcessor": "fixed:Squared",
    "LlavaNextImageProcessor": "tiles:AnyRes",
    "GotOcr2ImageProcessor": "tiles:Crops",
    "Phi4MultimodalImageProcessor": "phi4:DynamicHD",
    "LlavaOnevisionImageProcessor": "tiles:OneVision",
    "Idefics2ImageProcessor": "idefics2:Idefics2",
    "Idefics3ImageProcessor": "idefics3:Idefics3",
    "SmolVLMImageProcessor": "idefics3:Idefics3",
}


def twin_of(processor: Any) -> Twin:
    """The twin of an official image processor. Raises UsageError where there is none."""
    name = type(processor).__name__.removesuffix("Pil").removesuffix("Fast")
    target = TWINS.get(name)
    if target is None:
        near = get_close_matches(name, TWINS, n=2, cutoff=0.5)
        hint = f" (the nearest that has one: {', '.join(near)})" if near else ""
        raise UsageError(f"image processor {name!r}: has no differentiable twin{hint}; `twins/` in the docs adds one")
    module, _, attribute = target.partition(":")
    found: Twin = getattr(importlib.import_module(f"{_HERE}.{module}"), attribute)(processor)
    return found
