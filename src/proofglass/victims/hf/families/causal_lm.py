"""A text-only language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from proofglass.errors import UsageError, is_environment
from proofglass.victims.hf.families.base import Family, scaled_logits
from proofglass.victims.hf.memory import out_of_memory

AGREES = {torch.float32: 1e-3, torch.float64: 1e-3}  # of the largest logit
HALF = 0.1  # half precision and quantised weights round, another scale is far off


class CausalLM(Family):
    """Every "...ForCausalLM" without pictures."""

    paths = ("vision",)
    sees_images = False

    @property
    def body(self) -> Any:
        return self.model.base_model

    @property
    def layers(self) -> Any:
        """The one list of so many blocks: some call it `h` or `blocks`."""
        count = self.model.config.get_text_config().num_hidden_layers
        parts = self.model.get_decoder().children()
        return next(part for part in parts if isinstance(part, torch.nn.ModuleList) and len(part) == count)

    def framed(self, ids: list[int], front: list[int], behind: list[int]) -> list[int]:
        return ids  # a tokenizer's own `apply_chat_template` adds nothing to what the template writes

    def try_out(self) -> None:
        """This adapter serves any class of that kind, so each model is seen to agree with it: logits of four tokens,
        the last two behind the cache of the others. Recurrent states and logits of a class's own do not."""
        ids = torch.arange(4, device=self.model.get_input_embeddings().weight.device)[None]
        try:
            with torch.no_grad():
                wanted, cache = self.model(input_ids=ids, use_cache=False).logits, DynamicCache()
                parts = [ids[:, :2], ids[:, 2:]]
                found = torch.cat([self.head(self.hidden(part, None, [], [()], cache=cache)) for part in parts], 1)
            off = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))
            agrees = off <= AGREES.get(self.dtype, HALF)
            reason = "" if agrees else f"its logits differ by {off:.1e} of the largest"
        except Exception as error:
            if out_of_memory(error) or is_environment(error):
                raise
            reason = f"{type(error).__name__}: {error}"
        if reason:
            raise UsageError(
                f"{type(self.model).__name__}: the adapter of text-only models does not fit this class ({reason}); "
                "it serves decoders with keys and values of every token, such as Llama, Mistral, Qwen2, Gemma or Phi"
            )

    def head(self, hidden: Tensor) -> Tensor:
        return scaled_logits(self.writer, hidden)

    def encode(self, values: Mapping[str, Tensor]) -> Tensor:
        raise ValueError("a text-only model takes no picture")

    def look(self, values: Mapping[str, Tensor], layer: str) -> Tensor:
        raise ValueError("a text-only model has no vision tower")
