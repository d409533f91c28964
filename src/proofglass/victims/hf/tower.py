"""The vision tower of a model while it learns, beside the same model as it was."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from proofglass.errors import UsageError
from proofglass.interfaces.learners import TowerLearner
from proofglass.types import Image
from proofglass.victims.hf.learner import TOWERS, is_of_tower, save_whole
from proofglass.victims.hf.model import HFModel


class HFTower(TowerLearner):
    """before: the model that replies, which stays as it is; what learns is a second one of the same folder. micro:
    pictures that one pass holds at once. Raises UsageError for a model without a vision tower."""

    def __init__(self, before: HFModel, micro: int) -> None:
        told = before.options
        self.before, self.micro = before, micro
        self.own = HFModel(before.path, told.device, told.dtype, images_per_pass=micro)
        for name, parameter in self.own.model.named_parameters():
            parameter.requires_grad_(is_of_tower(name))
        if not self.parameters:
            raise UsageError(
                f"{before.path}: has no vision tower to train: found no weights under {', '.join(TOWERS)}; "
                "name a victim that sees pictures through one"
            )

    @cached_property
    def parameters(self) -> Sequence[nn.Parameter]:
        return [parameter for parameter in self.own.model.parameters() if parameter.requires_grad]

    def pixels(self, image: Image) -> Tensor:
        return self.before.pixels(image)

    def features(self, pixels: Tensor, layer: str) -> Tensor:
        return self.own.features(pixels, layer)  # type: ignore[arg-type]

    def original(self, pixels: Tensor, layer: str) -> Tensor:
        with torch.no_grad():
            return self.before.features(pixels, layer)  # type: ignore[arg-type]

    def save(self, folder: Path) -> None:
        save_whole(self.own, folder)
