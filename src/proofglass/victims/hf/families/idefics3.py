"""Idefics3 and SmolVLM: SigLIP tower on tiles -> pixel shuffle -> linear (Laurencon et al. 2024, arXiv:2408.12637;
Marafioti et al. 2025, arXiv:2504.05299)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from proofglass.victims.hf.families.base import Family


class Idefics3(Family):
    """HuggingFaceM4/Idefics3-8B-Llama3, HuggingFaceTB/SmolVLM-256M-Instruct, -500M-Instruct, SmolVLM-Instruct (open).

    Tower and connector are called one by one: the model's own `get_image_features` takes a tile that is mid-grey
    everywhere, zero after normalisation, for padding and drops it.
    """

    @property
    def body(self) -> Any:
        return self.model.model.text_model

    def encode(self, values: Mapping[str, Tensor]) -> Tensor:
        found: Tensor = (
            self.model.model.connector(self._tiles(values)).unflatten(0, values["pixel_values"].shape[:2]).flatten(1, 2)
        )
        return found

    def look(self, values: Mapping[str, Tensor], layer: str) -> Tensor:
        seen = self._tiles(values).unflatten(0, values["pixel_values"].shape[:2]).flatten(1, 2)
        found: Tensor = seen.mean(1) if layer == "pooled" else seen
        return found

    def _tiles(self, values: Mapping[str, Tensor]) -> Tensor:
        """What the tower makes of every tile of N pictures [N n, p, d]; tiles are full, so there is no mask."""
        found: Tensor = self.model.model.vision_model(values["pixel_values"].flatten(0, 1)).last_hidden_state
        return found
