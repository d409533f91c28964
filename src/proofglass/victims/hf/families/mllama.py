"""Mllama (Llama 3.2 Vision): cross-attention layers look at the tiles of the pictures (Grattafiori et al. 2024,
arXiv:2407.21783)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from proofglass.victims.hf.families.base import Family, Picture, Shown, run


class Mllama(Family):
    """Mllama (meta-llama/Llama-3.2-11B-Vision-Instruct, -90B; gated).

    The sequence holds one marker per picture. A token sees the pictures of the last run of neighbouring markers before
    it; one in front of all markers sees every tile of every picture, padding included, as the official mask has it. So
    text before a picture is never constant (`share`).
    Keys and values of a picture stand in the cache of the cross-attention layers. What each token sees stands in one
    layer of its own behind them, [R, 1, T, K] for the K pictures of the call, so that it is copied, padded and selected
    together with them.
    """

    share = "start"
    cascades = False

    def framed(self, ids: list[int], front: list[int], behind: list[int]) -> list[int]:
        """The processor writes a begin token behind the first pictures where the template has none, and the tokenizer
        its own nevertheless."""
        begin = self.chats.tokenizer.bos_token_id
        if begin in ids:
            return super().framed(ids, front, behind)
        first = next((k for k, token in enumerate(ids) if token != self.image_token), len(ids))
        return [*front, *ids[:first], begin, *ids[first:], *behind]

    @property
    def crossed(self) -> frozenset[int]:
        return frozenset(self.body.cross_attention_layers)

    def encode(self, values: Mapping[str, Tensor]) -> Tensor:
        seen = self.model.model.vision_model(**values).last_hidden_state.flatten(0, 1)  # [N, tiles, n, d]
        found: Tensor = self.model.model.multi_modal_projector(seen).flatten(1, 2)
        return found

    def grid(self, values: Mapping[str, Tensor]) -> tuple[int, ...]:
        return (int(values["aspect_ratio_mask"].flatten(0, -2)[0].sum()),)

    def look(self, values: Mapping[str, Tensor], layer: str) -> Tensor:
        seen = self.model.model.vision_model(**values).last_hidden_state.flatten(0, 1)
        patches = seen[:, : self.grid(values)[0]].flatten(1, 2)
        found: Tensor = patches.mean(1) if layer == "pooled" else patches
        return found

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
        embeds = self.model.get_input_embeddings()(ids)
        if added is not None:
            embeds = embeds + added.to(embeds.dtype)
        more = self._pictured(ids, pictures, shown, cache, embeds) if pictures else {}
        return run(self.body, embeds, mask, positions, cache, **more)

    def _pictured(
        self, ids: Tensor, pictures: Sequence[Picture], shown: Shown, cache: Any, like: Tensor
    ) -> dict[str, Tensor]:
        """What the cross-attention layers are given: nothing where no row has a picture."""
        sight = self._sight(ids, len(pictures), shown, cache)
        if cache is not None:
            kept = sight[:, None].to(like.dtype)
            cache.update(kept, kept, self._own_layer)
        tokens = len(pictures[0].features)
        held = self._held(cache) // tokens
        most = held or max(map(len, shown))
        if not most:
            return {}
        blank = len(pictures)  # in place of a picture that a row has not
        places = torch.tensor([[*row, *[blank] * (most - len(row))] for row in shown], device=ids.device)  # [R, M]
        found = _masks(sight, places, [picture.grid[0] for picture in pictures], self._tiles, tokens, like.dtype)
        if not held:
            every = [*(picture.features for picture in pictures), torch.zeros_like(pictures[0].features)]
            found["cross_attention_states"] = torch.stack(
                [torch.cat([every[k] for k in row]) for row in places.tolist()]
            ).to(like.dtype)
        return found

    @property
    def _tiles(self) -> int:
        return int(self.model.config.vision_config.max_num_tiles)

    @property
    def _own_layer(self) -> int:
        return len(self.layers)

    def _held(self, cache: Any) -> int:
        """Tokens of pictures whose keys and values the cache holds."""
        first = min(self.crossed)
        if cache is None or len(cache.layers) <= first or cache.layers[first].keys is None:
            return 0
        return int(cache.layers[first].keys.shape[-2])

    def _sight(self, ids: Tensor, pictures: int, shown: Shown, cache: Any) -> Tensor:
        """Which of the call's pictures each token sees, bool [R, T, K]; none in front of a row's first marker."""
        marks = ids == self.image_token
        number = marks.cumsum(1)
        rows = torch.zeros(len(ids), max(1, *map(len, shown)), dtype=torch.long, device=ids.device)
        for r, row in enumerate(shown):
            rows[r, : len(row)] = torch.tensor(row, device=ids.device)
        # Markers that are not in `ids` are in the cache, in front of these.
        counts = torch.tensor([len(row) for row in shown], device=ids.device)[:, None]
        which = rows.gather(1, (counts - number[:, -1:] + number - 1).clamp(min=0))
        here = F.one_hot(which, pictures) * marks[..., None]
        until = here.cumsum(1)
        begins = marks & ~F.pad(marks, (1, -1))  # of a run of neighbours
        base = torch.where(begins, torch.arange(ids.shape[1], device=ids.device), -1).cummax(1).values
        before = (until - here).gather(1, base.clamp(min=0)[..., None].expand(-1, -1, pictures))
        found = until - before > 0
        past = self._kept(cache)
        return found if past is None else torch.where((base < 0)[..., None], past, found)

    def _kept(self, cache: Any) -> Tensor | None:
        """What the last cached token of each row sees, bool [R, 1, K]."""
        own = self._own_layer
        if cache is None or len(cache.layers) <= own or cache.layers[own].keys is None:
            return None
        found: Tensor | None = cache.layers[own].keys[:, 0, -1:] > 0
        return found


def _masks(
    sight: Tensor, places: Tensor, used: Sequence[int], tiles: int, tokens: int, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The additive mask [R, 1, T, M * tokens], and which tokens' feed-forward layer is open, [R, 1, T, 1].

    sight: [R, T, K]; places: [R, M] of K for none; used: tiles of each picture that are no padding.
    """
    seen = F.pad(sight, (0, 1)).gather(2, places[:, None].expand(-1, sight.shape[1], -1))  # [R, T, M]
    real = torch.arange(tiles, device=sight.device) < torch.tensor([*used, 0], device=sight.device)[:, None]
    real = real.repeat_interleave(tokens // tiles, 1)[places]  # [R, M, tokens]
    allowed = (seen[..., None] & real[:, None]).flatten(2)
    opened = seen.any(-1)
    own = (places < sight.shape[2]).repeat_interleave(tokens, 1)[:, None]
    allowed = torch.where(opened[..., None], allowed, own)
    mask = torch.zeros(allowed.shape, dtype=dtype, device=sight.device).masked_fill(~allowed, torch.finfo(dtype).min)
    return {
        "cross_attention_mask": mask[:, None],
        "full_text_row_masked_out_mask": opened[:, None, :, None].to(dtype),
    }
