"""An image encoder from a folder of timm weights, or from the hub: some thousand classifiers and backbones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import UsageError
from proofglass.interfaces import Encoder, Layer, checked
from proofglass.interfaces.devices import Device, placed
from proofglass.models.folders import FromFolder, check_layer, library
from proofglass.models.resizing import FILTERS, Preparation

if TYPE_CHECKING:
    import torch

INSTALL = 'pip install "timm>=1.0.15"'


@dataclass(frozen=True)
class TimmEncoder(FromFolder, Encoder):
    """A pretrained image encoder through timm; pixels of any size.

    pooled [B, d]: what the classifier gets (timm's `pre_logits`). patches [B, n, d]: timm's last features without class
    token and registers; maps row by row. Resizing, cropping and normalising happen inside, as the folder's
    `pretrained_cfg` says, equal to timm's own evaluation transform on an 8-bit picture.

    path: folder with config.json and model.safetensors, or `owner/model` on the hub (`timm/resnet18.a1_in1k`).
    revision: commit of a hub name. device: "auto", "cpu", "cuda". Raises MissingExtra without timm, UsageError for
    missing or gated weights, UnsafeWeights for pickle checkpoints.
    """

    path: str | Path
    revision: str = "main"
    device: Device = "auto"

    registered = "timm-encoder"
    weights = "model.safetensors"

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        check_layer(layer)
        found = self.net.forward_features(self.preparation(checked(pixels, "features", placed(self.device))))
        if layer == "pooled":
            pooled: torch.Tensor = self.net.forward_head(found, pre_logits=True)
            return pooled.flatten(1)
        if found.ndim == 4:
            given: torch.Tensor = (
                found.flatten(1, 2) if getattr(self.net, "output_fmt", "NCHW") == "NHWC" else found.flatten(2).mT
            )
            return given
        tokens: torch.Tensor = found[:, getattr(self.net, "num_prefix_tokens", 0) :]
        return tokens

    def layers(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """What `patches` would be after each layer, where timm shows that: a victim may read any of them."""
        if not hasattr(self.net, "forward_intermediates"):
            return [self.features(pixels, "patches")]
        shown = self.preparation(checked(pixels, "layers", placed(self.device)))
        return [found.flatten(2).mT for found in self.net.forward_intermediates(shown, intermediates_only=True)]

    @cached_property
    def net(self) -> Any:
        """The model, frozen, float32."""
        folder, timm = self.folder, library("timm", INSTALL)
        # From a folder timm takes model.safetensors before anything else; `folder` has checked that it is there.
        return (
            timm.create_model(f"local-dir:{folder}", pretrained=True)
            .to(placed(self.device))
            .eval()
            .requires_grad_(False)
        )

    @cached_property
    def preparation(self) -> Preparation:
        """The evaluation transform that timm builds for the model. Raises UsageError for one that is not known here."""
        from timm.data import resolve_model_data_config

        config = resolve_model_data_config(self.net)
        height, width = config["input_size"][-2:]
        scaled = (math.floor(height / config["crop_pct"]), math.floor(width / config["crop_pct"]))
        mode, square = config["crop_mode"], scaled[0] == scaled[1]
        if mode not in ("center", "squash") or (mode == "center" and not square):
            raise UsageError(
                f"{self.folder / 'config.json'}: crop_mode {mode!r} for {height} x {width} has no differentiable twin; "
                "known are 'squash', and 'center' for squares"
            )
        return Preparation(
            scaled if mode == "squash" else scaled[0],
            (height, width),
            FILTERS[config["interpolation"]],
            tuple(config["mean"]),
            tuple(config["std"]),
            middle="even",
        )
