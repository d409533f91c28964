"""LLaVA: tower -> projector -> tokens in the sequence (Liu et al. 2023, arXiv:2304.08485)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from proofglass.victims.hf.families.base import Family


class Tower(Family):
    """What LLaVA and its successors share: a tower, some of whose hidden layers are read, in one view or several."""

    def look(self, values: Mapping[str, Tensor], layer: str) -> Tensor:
        """Several views of a picture: their pooled outputs on average, their patches one behind the other."""
        pixels = values["pixel_values"]
        seen = self.model.model.vision_tower(pixels.flatten(0, -4), output_hidden_states=True)
        if layer == "pooled":
            pooled = seen.pooler_output
            pooled = seen.last_hidden_state.mean(1) if pooled is None else pooled  # a tower without its head
            found: Tensor = pooled.unflatten(0, (len(pixels), -1)).mean(1)
            return found
        made: Tensor = self.read(seen).unflatten(0, (len(pixels), -1)).flatten(1, 2)
        return made

    def read(self, seen: Any) -> Tensor:
        """The hidden states that the projector takes, [views, n, d], of what the tower gives."""
        taken = self.model.config.vision_feature_layer
        first = int(self.strategy == "default")  # drops the class token
        return torch.cat([seen.hidden_states[k][:, first:] for k in ([taken] if isinstance(taken, int) else taken)], -1)

    @property
    def strategy(self) -> str:
        found: str = self.model.config.vision_feature_select_strategy
        return found


class Llava(Tower):
    """LLaVA-1.5 and models of its shape. template: the conversation format of LLaVA-1.5 (Vicuna v1.1)."""

    asks_processor = False
    template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }} {% elif m['role'] == 'user' %}USER: "
        "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image>\n{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %} "
        "{% else %}ASSISTANT: {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )

    def picture_ids(self, processor: Any, tokenizer: Any, inputs: Mapping[str, Any]) -> list[int]:
        vision = self.model.config.vision_config
        patches = (vision.image_size // vision.patch_size) ** 2
        return [self.image_token] * (patches + (self.strategy == "full"))


class VipLlava(Llava):
    """ViP-LLaVA: five layers of the tower, always without the class token (Cai et al. 2024, arXiv:2312.00784).

    Usual weights (open): llava-hf/vip-llava-7b-hf and -13b-hf. Their folders bring their own template.
    """

    template = ""
    strategy = "default"
