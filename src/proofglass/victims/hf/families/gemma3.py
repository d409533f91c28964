"""Gemma 3: a picture's tokens see each other in both directions; most layers see a window only (Gemma Team 2025,
arXiv:2503.19786)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from proofglass.victims.hf.families.base import Family, Picture, Shown, run
from proofglass.victims.hf.families.masks import counted, fitted, look_back, near, past_of

MARK = "<start_of_image>"  # by which the folder's template marks a picture
WRITTEN = f"\n\n{MARK}<image_soft_token><end_of_image>\n\n"  # what its processor makes of it, one soft token for all


class Gemma3(Family):
    """google/gemma-3-4b-it, -12b-it and -27b-it (gated). One size for every picture, without pan-and-scan crops."""

    asks_processor = False
    windows = True

    def chat_template(self, source: str) -> str:
        # The blank lines around a picture share tokens with the text next to it: "\n\n\n" is a token of its own.
        return source.replace(MARK, WRITTEN)

    def picture_ids(self, processor: Any, tokenizer: Any, inputs: Mapping[str, Any]) -> list[int]:
        return [self.image_token] * self.model.config.mm_tokens_per_image

    def look(self, values: Mapping[str, Tensor], layer: str) -> Tensor:
        return tower_of(self.model, values, layer)

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
        embeds, past = self.embeds(ids, pictures, shown, added), past_of(cache)
        positions = counted(ids, past) if positions is None else positions
        seen, places = look_back(mask, positions, past)
        seen = seen | F.pad(_together(ids == self.image_token), (past, 0))
        text = self.model.config.get_text_config()
        masks = {
            "full_attention": fitted(seen, text, embeds.dtype),
            "sliding_attention": fitted(seen & near(places, positions, text.sliding_window), text, embeds.dtype),
        }
        return run(self.body, embeds, masks, positions, cache)


def _together(holders: Tensor) -> Tensor:
    """Which tokens [R, 1, T, T] stand for the same picture. holders: [R, T], those that stand for one."""
    first = holders & ~F.pad(holders, (1, 0))[:, :-1]
    block = first.cumsum(1)
    same = (block[:, None] == block[:, :, None]) & holders[:, None] & holders[:, :, None]
    return same[:, None]


def tower_of(model: Any, values: Mapping[str, Tensor], layer: str) -> Tensor:
    """What a SigLIP tower makes of pictures; "pooled": its pooling head's output, the mean where it has none."""
    seen = model.model.vision_tower(**values)
    patches: Tensor = seen.last_hidden_state
    if layer != "pooled":
        return patches
    return patches.mean(1) if seen.pooler_output is None else seen.pooler_output
