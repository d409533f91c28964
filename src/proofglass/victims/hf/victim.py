"""A victim that loads its model on first use, so that naming or listing it never loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.interfaces import LossAndGrad, Weighting, WhiteBoxVictim
from proofglass.types import Ask, Chat, Image, Reply

if TYPE_CHECKING:
    import torch

    from proofglass.victims.hf.model import HFModel, Prepared


class HFVictim(WhiteBoxVictim):
    """On top of `HFModel`. Subclasses are frozen dataclasses with `folder`, `device` and `batch`.

    `batch`: rows per forward pass.
    """

    device: str = "auto"
    batch: int = 128
    dtype: str = "float32"

    @property
    def folder(self) -> Path:
        raise AttributeError(f"{type(self).__name__}: a subclass says which folder to load")

    @cached_property
    def model(self) -> HFModel:
        from proofglass.victims.hf.model import HFModel

        return HFModel(self.folder, self.device, self.dtype)

    @cached_property
    def weights_hash(self) -> str:
        from proofglass.victims.hf.model import check_folder, weights_hash

        check_folder(self.folder)
        return weights_hash(self.folder)

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return self.model.reply(asks, self.batch)

    def pixels(self, image: Image) -> torch.Tensor:
        return self.model.pixels(image)

    def prepare(self, pairs: Sequence[Sequence[tuple[Chat, str]]]) -> Prepared:
        return self.model.prepare(pairs)

    def loss_and_grad(
        self, pixels: torch.Tensor, prepared: Any, *, weighting: Weighting = "token", need_grad: bool = True
    ) -> LossAndGrad:
        return self.model.loss_and_grad(pixels, prepared, weighting, need_grad)
