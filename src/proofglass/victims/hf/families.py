"""What truly differs between model families: how pictures reach the language model. All else is in `model.py`.

A family sees token ids in which every picture is already expanded to its own number of place holders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class Family(Protocol):
    """placeholders: tokens that one picture takes in the sequence."""

    placeholders: int

    def encode(self, pixel_values: Tensor) -> Tensor:
        """Normalised pixels [N, 3, H, W] -> picture features [N, ...], with gradient."""

    def hidden(self, ids: Tensor, attention_mask: Tensor, features: Tensor | None, owner: Tensor) -> Tensor:
        """Last hidden states [R, T, d] of right-padded rows. owner: long [R], which of the N pictures a row
        shows, -1 for none."""

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states."""

    def generate(
        self, ids: Tensor, attention_mask: Tensor, features: Tensor | None, owner: Tensor, **options: Any
    ) -> Tensor:
        """New tokens [R, <= max_new_tokens] of left-padded rows, by transformers' own `generate`."""


def _scatter(embeds: Tensor, is_image: Tensor, features: Tensor | None, owner: Tensor) -> Tensor:
    """Write each row's picture tokens into its place holders; `features` [N, n, d]."""
    if features is None or not bool(is_image.any()):
        return embeds
    rows = features[owner[owner >= 0]].to(embeds.dtype)
    return embeds.masked_scatter(is_image[..., None].expand_as(embeds), rows)


@dataclass
class _InSequence:
    """Families whose picture tokens stand in the sequence, in place of the place holders.

    Subclasses name the `body` (embeddings -> hidden states) and the `writer` (what generates and holds lm_head).
    """

    model: Any
    image_token: int

    @property
    def body(self) -> Any:
        raise AttributeError(f"{type(self).__name__}: a family names its language model")

    @property
    def writer(self) -> Any:
        raise AttributeError(f"{type(self).__name__}: a family names the part that generates")

    def _embeds(self, ids: Tensor, features: Tensor | None, owner: Tensor) -> Tensor:
        embeds = self.model.get_input_embeddings()(ids)
        return _scatter(embeds, ids == self.image_token, features, owner)

    def hidden(self, ids: Tensor, attention_mask: Tensor, features: Tensor | None, owner: Tensor) -> Tensor:
        return self.body(
            inputs_embeds=self._embeds(ids, features, owner), attention_mask=attention_mask, use_cache=False
        ).last_hidden_state

    def head(self, hidden: Tensor) -> Tensor:
        return self.writer.lm_head(hidden)

    def generate(
        self, ids: Tensor, attention_mask: Tensor, features: Tensor | None, owner: Tensor, **options: Any
    ) -> Tensor:
        return self.writer.generate(
            inputs_embeds=self._embeds(ids, features, owner), attention_mask=attention_mask, **options
        )


@dataclass
class Llava(_InSequence):
    """LLaVA: tower -> projector -> tokens in the sequence (linear projection)."""

    def __post_init__(self) -> None:
        vision, config = self.model.config.vision_config, self.model.config
        patches = (vision.image_size // vision.patch_size) ** 2
        self.placeholders = patches + (config.vision_feature_select_strategy == "full")

    @property
    def body(self) -> Any:
        return self.model.model.language_model

    @property
    def writer(self) -> Any:
        return self.model

    def encode(self, pixel_values: Tensor) -> Tensor:
        found = self.model.get_image_features(pixel_values=pixel_values).pooler_output
        return torch.stack(list(found)) if isinstance(found, (list, tuple)) else found


@dataclass
class Blip2(_InSequence):
    """BLIP-2: tower -> Q-Former with learnable queries -> tokens in the sequence."""

    def __post_init__(self) -> None:
        self.placeholders = self.model.config.num_query_tokens

    @property
    def body(self) -> Any:
        return self.model.language_model.model

    @property
    def writer(self) -> Any:
        return self.model.language_model

    def encode(self, pixel_values: Tensor) -> Tensor:
        seen = self.model.vision_model(pixel_values=pixel_values).last_hidden_state
        queries = self.model.query_tokens.expand(len(seen), -1, -1)
        asked = self.model.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
        return self.model.language_projection(asked)


@dataclass
class Idefics:
    """IDEFICS: gated cross-attention layers look at the picture; the sequence holds one marker for it."""

    model: Any
    image_token: int
    placeholders: int = 1

    def encode(self, pixel_values: Tensor) -> Tensor:
        return self.model.model.vision_model(pixel_values=pixel_values).last_hidden_state

    def _sight(self, ids: Tensor, features: Tensor | None, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Each row's picture [R, 1, n, d], zeros for none, and who sees it [R, T, 1]: the marker and all after.

        Rows without a picture get an all-zero mask, for which the class closes its cross-attention gates.
        """
        if features is None:
            vision = self.model.config.vision_config
            tokens = (vision.image_size // vision.patch_size) ** 2 + 1
            features = torch.zeros(1, tokens, vision.embed_dim, dtype=self.model.dtype, device=ids.device)
        picture = features[owner.clamp(min=0)] * (owner >= 0).to(features.dtype)[:, None, None]
        sees = ((ids == self.image_token).cumsum(1) > 0) & (owner >= 0)[:, None]
        return picture[:, None], sees.long()[..., None]

    def hidden(self, ids: Tensor, attention_mask: Tensor, features: Tensor | None, owner: Tensor) -> Tensor:
        picture, sees = self._sight(ids, features, owner)
        return self.model.model(
            input_ids=ids,
            attention_mask=attention_mask,
            image_encoder_embeddings=picture,
            image_attention_mask=sees,
            use_cache=False,
        ).last_hidden_state

    def head(self, hidden: Tensor) -> Tensor:
        return self.model.lm_head(hidden)

    def generate(
        self, ids: Tensor, attention_mask: Tensor, features: Tensor | None, owner: Tensor, **options: Any
    ) -> Tensor:
        picture, sees = self._sight(ids, features, owner)
        whole = self.model.generate(
            input_ids=ids,
            attention_mask=attention_mask,
            image_encoder_embeddings=picture,
            image_attention_mask=sees,
            **options,
        )
        return whole[:, ids.shape[1] :]


@dataclass
class CausalLM:
    """A text-only language model: no pictures."""

    model: Any
    image_token: int = -1
    placeholders: int = 0

    def encode(self, pixel_values: Tensor) -> Tensor:
        raise ValueError("a text-only model takes no picture")

    def hidden(self, ids: Tensor, attention_mask: Tensor, features: Tensor | None, owner: Tensor) -> Tensor:
        return self.model.model(input_ids=ids, attention_mask=attention_mask, use_cache=False).last_hidden_state

    def head(self, hidden: Tensor) -> Tensor:
        return self.model.lm_head(hidden)

    def generate(
        self, ids: Tensor, attention_mask: Tensor, features: Tensor | None, owner: Tensor, **options: Any
    ) -> Tensor:
        return self.model.generate(input_ids=ids, attention_mask=attention_mask, **options)[:, ids.shape[1] :]


# config.json's "architectures" -> how its pictures travel.
FAMILIES: dict[str, type] = {
    "LlavaForConditionalGeneration": Llava,
    "Blip2ForConditionalGeneration": Blip2,
    "IdeficsForVisionText2Text": Idefics,
    "LlamaForCausalLM": CausalLM,
}


def family_of(architecture: str) -> type | None:
    """The adapter for an architecture; every "...ForCausalLM" is a text-only model. None: there is no adapter."""
    return FAMILIES.get(architecture) or (CausalLM if architecture.endswith("ForCausalLM") else None)
