"""InternVL: a picture's tiles one behind the other, four patches to a token (Chen et al. 2024, arXiv:2404.16821)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from proofglass.victims.hf.families.llava import Tower


class InternVL(Tower):
    """InternVL 2.5, 3 and 3.5 in transformers' own format.

    Usual weights (open): OpenGVLab/InternVL3-1B-hf, -2B-hf, -8B-hf and larger.
    """

    def encode(self, values: Mapping[str, Tensor]) -> Tensor:
        tiles = super().encode({"pixel_values": values["pixel_values"]})
        found: Tensor = tiles.unflatten(0, (len(values["num_patches"]), -1)).flatten(1, 2)
        return found

    def look(self, values: Mapping[str, Tensor], layer: str) -> Tensor:
        views = values["pixel_values"].unflatten(0, (len(values["num_patches"]), -1))
        return super().look({"pixel_values": views}, layer)

    def read(self, seen: Any) -> Tensor:
        if self.model.config.vision_feature_layer != -1:
            return super().read(seen)
        found: Tensor = seen.last_hidden_state[:, int(self.strategy == "default") :]
        return found
