"""PaliGemma: a prefix language model, which sees picture and prompt in both directions (Beyer et al. 2024,
arXiv:2407.07726; PaliGemma 2: Steiner et al. 2024, arXiv:2412.03555)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from proofglass.victims.hf.families.base import Family, Picture, Shown, run, scaled_logits
from proofglass.victims.hf.families.gemma3 import tower_of
from proofglass.victims.hf.families.masks import counted, fitted, look_back, near, past_of

MARK = "<image>"  # by which the template marks a picture


class PaliGemma(Family):
    """google/paligemma-3b-mix-224 and -448, google/paligemma2-3b-mix-224 (gated).

    A picture's tokens see the prompt behind them, so only pairs with the same whole prompt share more than the tower.
    template: pictures, begin token, text, line break, as the processor writes them. The models know no turns: those of
    a chat stand on lines of their own, and there is no system role.
    """

    paths = ("prefix", "vision")
    share = "prompt"
    windows = True
    continues: Mapping[str, int] = {**Family.continues, "token_type_ids": 1}
    template = (
        "{% for m in messages %}{% if m['content'] is not string %}{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image>{% endif %}{% endfor %}{% endif %}{% endfor %}{{ bos_token }}"
        "{% for m in messages %}{% if m['role'] != 'system' %}{% if m['content'] is string %}{{ m['content'] }}"
        "{% else %}{% for c in m['content'] %}{% if c['type'] != 'image' %}{{ c['text'] }}{% endif %}{% endfor %}"
        "{% endif %}{{ '\n' }}{% endif %}{% endfor %}"
    )

    def chat_template(self, source: str) -> str:
        """The processor puts the begin token behind the last picture and ends with a line break, whatever a template
        writes there; the template above has both."""
        if source == self.template:
            return source
        return (
            "{% set shown +%}" + source.removesuffix("\n") + "{%+ endset %}{% set parts = shown.rsplit('<image>', 1) %}"
            "{% if parts | length > 1 %}{{ parts[0] }}<image>{% endif %}{{ bos_token }}{{ parts[-1] }}{{ '\n' }}"
        )

    def official(self, processor: Any, text: str, images: Sequence[Any]) -> Mapping[str, Any]:
        # The processor writes the begin token and the last line break itself.
        bare = text.replace(MARK + processor.tokenizer.bos_token, MARK).removesuffix("\n")
        found = super().official(processor, bare, images)
        return {name: value for name, value in found.items() if name != "labels"}

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
        # Behind a prompt stand replies, and its last token once more, to predict a target.
        again = positions < (places[:, :past] >= 0).sum(1, keepdim=True)
        prompt = seen & again[:, None, :, None] if past else _prompt(places, starts)
        text = self.model.config.get_text_config()
        masks: Any = fitted(seen | prompt, text, embeds.dtype)
        if window := getattr(text, "sliding_window", None):  # PaliGemma 2; a prompt sees all of itself nevertheless
            sliding = fitted(seen & near(places, positions, window) | prompt, text, embeds.dtype)
            masks = {"full_attention": masks, "sliding_attention": sliding}
        return run(self.body, embeds, masks, positions + 1, cache)

    def head(self, hidden: Tensor) -> Tensor:
        return scaled_logits(self.writer, hidden)


def _prompt(places: Tensor, starts: Sequence[int] | None) -> Tensor:
    """Which tokens [R, 1, T, T] belong to the same prompt. places: [R, T], -1 for padding; starts: of the targets."""
    inside = places >= 0
    if starts is not None:
        inside = inside & (places < torch.tensor(starts, device=places.device)[:, None])
    return (inside[:, None] & inside[:, :, None])[:, None]
