"""Idefics2: SigLIP tower on pictures of any ratio -> linear -> perceiver resampler (Laurencon et al. 2024,
arXiv:2405.02246)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from proofglass.victims.hf.families.base import Family

AS_TEXT = "\U000f0001"  # behind a control token of the user's, which is written as plain text


class Idefics2(Family):
    """HuggingFaceM4/idefics2-8b and -8b-chatty (open).

    Tower and connector are called one by one: the model's own `get_image_features` takes a picture that is mid-grey
    everywhere, zero after normalisation, for padding and drops it.
    """

    @property
    def body(self) -> Any:
        return self.model.model.text_model

    def chat_template(self, source: str) -> str:
        """The official processor puts a space between a picture and a word right behind it; so does this template."""
        return (
            "{% set shown +%}" + source.removesuffix("\n") + "{%+ endset %}{% for piece in shown.split('<image>') %}"
            "{% if not loop.first %}<image>{% if piece and not piece[0].isspace() and piece[0] not in '<"
            + AS_TEXT
            + "' %}"
            "{{ ' ' }}{% endif %}{% endif %}{{ piece }}{% endfor %}"
        )

    def picture_ids(self, processor: Any, tokenizer: Any, inputs: Mapping[str, Any]) -> list[int]:
        fake, image = tokenizer.convert_tokens_to_ids([processor.fake_image_token, processor.image_token])
        parts = 5 if processor.image_processor.do_image_splitting else 1
        return [fake, *[image] * processor.image_seq_len] * parts + [fake]

    def joined(self, before: Sequence[int], run: list[int]) -> list[int]:
        return run[1:] if before and before[-1] == run[0] else run

    def encode(self, values: Mapping[str, Tensor]) -> Tensor:
        seen, patches = self._parts(values)
        found = self.model.model.connector(seen, attention_mask=patches)
        made: Tensor = found.unflatten(0, values["pixel_values"].shape[:2]).flatten(1, 2)
        return made

    def look(self, values: Mapping[str, Tensor], layer: str) -> Tensor:
        seen, patches = self._parts(values)
        several = values["pixel_values"].shape[:2]
        every, own = (t.unflatten(0, several).flatten(1, 2) for t in (seen, patches))
        found = every[:, own[0]]  # pictures of one size are padded alike
        made: Tensor = found.mean(1) if layer == "pooled" else found
        return made

    def _parts(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What the tower makes of every part of N pictures [N n, p, d], and which patches are no padding [N n, p]."""
        pixels = values["pixel_values"].flatten(0, 1)
        side = self.model.config.vision_config.patch_size
        own = values.get("pixel_attention_mask")
        own = pixels.new_ones(pixels[:, 0].shape).long() if own is None else own.flatten(0, 1)
        patches = own.unfold(1, side, side).unfold(2, side, side).amin((-2, -1)).bool()
        seen = self.model.model.vision_model(pixel_values=pixels, patch_attention_mask=patches).last_hidden_state
        return seen, patches.flatten(1)
