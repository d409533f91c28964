"""Phi-4-multimodal: a picture's tiles put together, the padding left out, then the whole (Abouelenin et al. 2025,
arXiv:2503.01743)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from proofglass.victims.hf.families.base import Family


class Phi4Multimodal(Family):
    """Phi-4-multimodal in transformers' own format: microsoft/Phi-4-multimodal-instruct, revision refs/pr/70 (open).

    Its low-rank weights for pictures are an adapter of their own, in the folder's `vision-lora`: `adapter` takes it.
    """

    @property
    def body(self) -> Any:
        return self.model.model

    @property
    def _eye(self) -> Any:
        return self.model.model.embed_tokens_extend.image_embed

    def encode(self, values: Mapping[str, Tensor]) -> Tensor:
        """The class only writes features into a sequence: here into one that holds nothing else."""
        counts = values["num_img_tokens"]
        ids = torch.full((1, int(counts.sum())), self.image_token, device=counts.device)
        blank = torch.zeros(*ids.shape, self.model.config.hidden_size, dtype=self.model.dtype, device=counts.device)
        given = {name: value for name, value in values.items() if name != "num_img_tokens"}
        found: Tensor = self._eye(ids, blank, **given)[0].unflatten(0, (len(counts), -1))
        return found

    def look(self, values: Mapping[str, Tensor], layer: str) -> Tensor:
        tiles = values["image_pixel_values"]
        mask = values["image_attention_mask"].flatten(0, 1).bool()
        if layer == "pooled":
            seen = self._eye.img_processor(tiles.flatten(0, 1), patch_attention_mask=mask).pooler_output
            found: Tensor = seen.unflatten(0, (len(tiles), -1)).mean(1)
            return found
        seen = self._eye.get_img_features(tiles.flatten(0, 1), attention_mask=mask)
        made: Tensor = seen.unflatten(0, (len(tiles), -1)).flatten(1, 2)
        return made
