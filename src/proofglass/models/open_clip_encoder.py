"""An image encoder with its text tower from a folder of OpenCLIP weights, or from the hub."""

from __future__ import annotations

from collections.abc import Sequence
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

INSTALL = 'pip install "open_clip_torch>=3.2"'


@dataclass(frozen=True)
class OpenClipEncoder(FromFolder, Encoder):
    """A contrastive image-text model through open_clip; pixels of any size.

    pooled [B, d]: the projection into the common space. patches [B, n, d]: the last block's tokens without class token;
    maps row by row. Resizing, cropping and normalising happen inside, as the folder's `preprocess_cfg` says, equal to
    open_clip's own evaluation transform on an 8-bit picture.

    path: folder with open_clip_config.json and open_clip_model.safetensors, or `owner/model` on the hub
    (`laion/CLIP-ViT-B-32-laion2B-s34B-b79K`). revision: commit of a hub name. device: "auto", "cpu", "cuda". unit:
    whether features have length one; False leaves the raw projections. Raises MissingExtra without open_clip,
    UsageError for missing or gated weights, UnsafeWeights for pickle checkpoints.
    """

    path: str | Path
    revision: str = "main"
    device: Device = "auto"
    unit: bool = True

    registered = "open-clip-encoder"
    config = "open_clip_config.json"
    weights = "open_clip_model.safetensors"  # of any other name, open_clip would prefer model.safetensors or a pickle

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        check_layer(layer)
        shown = self.preparation(checked(pixels, "features", placed(self.device)))
        if layer == "pooled":
            pooled: torch.Tensor = self.net.encode_image(shown, normalize=self.unit)
            return pooled
        return self._blocks(shown, last=1)[-1]

    def layers(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """What `patches` would be after each block: a victim may read any of them."""
        return self._blocks(self.preparation(checked(pixels, "layers", placed(self.device))))

    def _blocks(self, shown: torch.Tensor, last: int | None = None) -> list[torch.Tensor]:
        """Patches after the last so many blocks; None: after each."""
        told = self.net.forward_intermediates(shown, image_indices=last, intermediates_only=True)
        return [found.flatten(2).mT for found in told["image_intermediates"]]  # grids [B, d, h, w], whatever the tower

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, d], no gradient. Raises ValueError for a text that is empty or longer than the tower reads."""
        import torch

        with torch.no_grad():
            found: torch.Tensor = self.net.encode_text(self._tokens(texts).to(placed(self.device)), normalize=self.unit)
        return found

    def _tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """int64 [n, context]. The tokenizers cut in silence: a row twice as long shows what would be lost."""
        tokenizer, longest = self._tokenizer, int(self._tokenizer.context_length)
        whole = tokenizer([*texts, ""], context_length=2 * longest)
        padding = whole[-1, -1]
        for text, row in zip(texts, whole, strict=False):
            if not text.strip() or not (row[longest:] == padding).all():
                raise ValueError(f"texts: expected 1 to {longest} tokens, found none or more in {text[:60]!r}")
        found: torch.Tensor = tokenizer(list(texts), context_length=longest)
        return found

    @cached_property
    def net(self) -> Any:
        """The model, frozen, float32."""
        folder, open_clip = self.folder, library("open_clip", INSTALL)
        # From a folder open_clip takes open_clip_model.safetensors before anything else; `folder` has checked that.
        net = open_clip.create_model_from_pretrained(f"local-dir:{folder}", return_transform=False)
        return net.to(placed(self.device)).eval().requires_grad_(False)

    @cached_property
    def _tokenizer(self) -> Any:
        return library("open_clip", INSTALL).get_tokenizer(f"local-dir:{self.folder}")

    @cached_property
    def preparation(self) -> Preparation:
        """The evaluation transform that open_clip builds for the model. Raises UsageError for one not known here."""
        config = self.net.visual.preprocess_cfg
        sides = config["size"]
        height, width = (sides, sides) if isinstance(sides, int) else sides
        mode = config["resize_mode"]
        if mode not in ("shortest", "squash") or (mode == "shortest" and height != width):
            raise UsageError(
                f"{self.folder / self.config}: resize_mode {mode!r} for {height} x {width} has no differentiable twin; "
                "known are 'squash', and 'shortest' for squares"
            )
        return Preparation(
            (height, width) if mode == "squash" else height,
            None if mode == "squash" else (height, width),
            FILTERS[config["interpolation"]],
            tuple(config["mean"]),
            tuple(config["std"]),
            middle="even",
        )
