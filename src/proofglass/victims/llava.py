"""A user's own `LlavaForConditionalGeneration` folder, through the same code as the testbed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from proofglass.interfaces import Paper, key_of
from proofglass.victims.hf.victim import HFVictim


@dataclass(frozen=True)
class Llava(HFVictim):
    """LLaVA from a local folder (config.json, *.safetensors, tokenizer with chat template, image processor).

    path: the folder. device: "auto", "cpu", "cuda". dtype: of the weights ("float32", "bfloat16", "float64"); pixels
    stay float32. batch: rows per forward pass; micro, images_per_pass: see `HFVictim`. Raises UsageError for a folder
    that lacks a part, UnsafeWeights for pickle checkpoints; code from the folder is never run.
    """

    path: Path
    device: str = "auto"
    dtype: str = "float32"
    batch: int = 16
    micro: int = 8
    images_per_pass: int = 32

    name = "llava"
    paper = Paper("Liu et al. 2023", "Visual Instruction Tuning", "arXiv:2304.08485")

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path).expanduser())
        if self.dtype not in ("float32", "bfloat16", "float64"):
            raise ValueError(
                f"dtype: expected float32, bfloat16 or float64, found {self.dtype!r} (float16 loses small gradients)"
            )

    @property
    def folder(self) -> Path:
        return self.path

    @cached_property
    def key(self) -> str:
        return key_of([type(self).__name__, self.version, self.weights_hash, self.device, self.dtype])

    @cached_property
    def image_size(self) -> tuple[int, int] | None:  # type: ignore[override]
        side = int(json.loads((self.path / "config.json").read_text())["vision_config"]["image_size"])
        return (side, side)

    def card(self) -> dict[str, Any]:
        config = json.loads((self.path / "config.json").read_text())
        return {
            "name": self.path.name,
            "fusion": "linear projection",
            "architecture": config.get("architectures"),
            "weights_sha256": self.weights_hash,
            "system_role": "chat template" if self.model.has_system_role else "put in front of the user turn",
        }
