"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: as many tokens as a picture needs, placed in time, height and width (Wang et al.
2024, arXiv:2409.12191; Bai et al. 2025a, arXiv:2502.13923; Bai et al. 2025b, arXiv:2511.21631)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from proofglass.victims.hf.families.base import Family, Picture, Shown, run, scatter


class Qwen2VL(Family):
    """Qwen/Qwen2-VL-2B- and -7B-Instruct, Qwen/Qwen2.5-VL-3B- and -7B-Instruct (open).

    Picture.grid: rows and columns of tokens. A token's place has three coordinates: of a text all are alike; those of a
    picture count rows and columns from where it begins; the text behind it goes on after the largest of them.
    """

    def grid(self, values: Mapping[str, Tensor]) -> tuple[int, ...]:
        merge = self.model.config.vision_config.spatial_merge_size
        _, rows, columns = values["image_grid_thw"][0].tolist()
        return rows // merge, columns // merge

    def hidden(
        self,
        ids: Tensor,
        mask: Tensor | None,
        pictures: Sequence[Picture],
        shown: Shown,
        *,
        positions: Tensor | None = None,
        cache: Any = None,
        added: Tensor | None = None,
        starts: Sequence[int] | None = None,
    ) -> Tensor:
        embeds = self.embeds(ids, pictures, shown, added)
        return run(self.body, embeds, mask, self.places(ids, pictures, shown, positions), cache)

    def places(self, ids: Tensor, pictures: Sequence[Picture], shown: Shown, positions: Tensor | None) -> Tensor:
        """Time, height and width [3, R, T] of each token."""
        if positions is None:
            positions = torch.arange(ids.shape[1], device=ids.device)[None]
        moved = [
            _moved(holders, [pictures[k].grid for k in row])
            for holders, row in zip((ids == self.image_token).cpu(), shown, strict=True)
        ]
        return positions + torch.stack(moved, 1).to(ids.device)


class Qwen3VL(Qwen2VL):
    """Qwen/Qwen3-VL-4B- and -8B-Instruct (open).

    What some of the tower's own layers make of a picture is added to its tokens behind the first layers of the language
    model (DeepStack: Meng et al. 2024, arXiv:2406.04334). It stands beside the main features, along their last axis.
    """

    def encode(self, values: Mapping[str, Tensor]) -> Tensor:
        seen = self.model.get_image_features(**values)
        return torch.cat([torch.stack(list(level)) for level in (seen.pooler_output, *seen.deepstack_features)], -1)

    def hidden(
        self,
        ids: Tensor,
        mask: Tensor | None,
        pictures: Sequence[Picture],
        shown: Shown,
        *,
        positions: Tensor | None = None,
        cache: Any = None,
        added: Tensor | None = None,
        starts: Sequence[int] | None = None,
    ) -> Tensor:
        holders = ids == self.image_token
        places, more = self.places(ids, pictures, shown, positions), {}
        main, *deep = self._levels(pictures)
        embeds = self.embeds(ids, main, shown, added)
        if deep and bool(holders.any()):
            none = torch.zeros_like(embeds)
            levels = [scatter(none, holders, level, shown).flatten(0, 1) for level in deep]
            more = {"visual_pos_masks": torch.ones_like(holders), "deepstack_visual_embeds": levels}
        return run(self.body, embeds, mask, places, cache, **more)

    def _levels(self, pictures: Sequence[Picture]) -> list[list[Picture]]:
        """The pictures once per level of features, the main one first."""
        vision = self.model.config.vision_config
        cut = [picture.features.split(vision.out_hidden_size, -1) for picture in pictures]
        levels = range(1 + len(vision.deepstack_visual_indexes))
        return [[Picture(c[k], picture.grid) for c, picture in zip(cut, pictures, strict=True)] for k in levels]


def _moved(holders: Tensor, grids: Sequence[tuple[int, ...]]) -> Tensor:
    """[3, T]: how far each token of a row lies from its index. holders: [T], which tokens stand for its pictures; where
    not all are there, the pictures are in the cache and every token stands behind them."""
    found = torch.zeros(3, len(holders), dtype=torch.long)
    counts = [rows * columns for rows, columns in grids]
    tokens = holders.nonzero()[:, 0]
    if len(tokens) != sum(counts):
        return found + sum(map(max, grids)) - sum(counts)
    by = 0
    for grid, own in zip(grids, tokens.split(counts), strict=True):
        index = torch.arange(len(own))
        found[:, own] = by - index + torch.stack([0 * index, index // grid[1], index % grid[1]])
        by += max(grid) - len(own)
        found[:, own[-1] + 1 :] = by
    return found
