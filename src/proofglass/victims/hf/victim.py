"""A victim that loads its model on first use, so that naming or listing it never loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.interfaces import Layer, LossAndGrad, Target, Weighting, WhiteBoxVictim
from proofglass.types import Ask, Chat, Image, Reply

if TYPE_CHECKING:
    import torch

    from proofglass.victims.hf.model import HFModel
    from proofglass.victims.hf.prepared import Prepared


class HFVictim(WhiteBoxVictim):
    """On top of `HFModel`. Subclasses are frozen dataclasses with `folder`, `device` and `batch`.

    `batch`: rows per forward pass of `reply`. `micro`: pairs per row of a gradient step; `images_per_pass`: pictures
    that one holds in memory. All three trade memory for speed and change no result.
    """

    device: str = "auto"
    batch: int = 128
    dtype: str = "float32"
    micro: int = 8
    images_per_pass: int = 32

    @property
    def folder(self) -> Path:
        raise AttributeError(f"{type(self).__name__}: a subclass says which folder to load")

    @cached_property
    def model(self) -> HFModel:
        from proofglass.victims.hf.model import HFModel

        return HFModel(self.folder, self.device, self.dtype, self.micro, self.images_per_pass)

    @cached_property
    def weights_hash(self) -> str:
        from proofglass.victims.hf.model import check_folder, weights_hash

        check_folder(self.folder)
        return weights_hash(self.folder)

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return self.model.reply(asks, self.batch)

    def pixels(self, image: Image) -> torch.Tensor:
        return self.model.pixels(image)

    def prepare(self, pairs: Sequence[Sequence[tuple[Chat, Target]]], *, append_eos: bool = False) -> Prepared:
        return self.model.prepare(pairs, append_eos)

    def loss_and_grad(
        self,
        pixels: torch.Tensor,
        prepared: Any,
        *,
        weighting: Weighting = "token",
        need_grad: bool = True,
        text: Sequence[Sequence[torch.Tensor]] | None = None,
    ) -> LossAndGrad:
        return self.model.loss_and_grad(pixels, prepared, weighting, need_grad, text)

    def target_logits(self, pixels: torch.Tensor, prepared: Any) -> list[list[torch.Tensor]]:
        return self.model.target_logits(pixels, prepared)

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        return self.model.features(pixels, layer)

    @property
    def embedding_width(self) -> int:
        return self.model.embedding_width

    @property
    def normalisation(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the tower's input, float32 [1, 3, 1, 1] each."""
        return self.model.normalisation

    def gradient_path(self) -> str:
        return self.model.step.choice.said if "model" in vars(self) else ""  # never loads a model to say nothing
