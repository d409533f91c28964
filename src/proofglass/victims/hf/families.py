"""What truly differs between model families: how pictures reach the language model. All else is shared.

A family sees token ids in which every picture is already expanded to its own number of place holders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class Family(Protocol):
    """placeholders: tokens that one picture takes in the sequence. paths: ways to compute gradients that share work
    between the pairs of a picture, the fastest first (`gradient.py`)."""

    placeholders: int
    paths: tuple[str, ...]

    def encode(self, pixel_values: Tensor) -> Tensor:
        """Normalised pixels [N, 3, H, W] -> picture features [N, ...], with gradient."""

    def look(self, pixel_values: Tensor, layer: str) -> Tensor:
        """The tower's "pooled" output [N, d], or the "patches" [N, n, d] that the rest of the model reads."""

    def hidden(
        self,
        ids: Tensor,
        mask: Tensor | None,
        features: Tensor | None,
        owner: Tensor,
        *,
        positions: Tensor | None = None,
        cache: Any = None,
        added: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states [R, T, d]. mask: [R, T] of right-padded rows, or [R, 1, T, P + T], None without padding.

        owner: long [R], which of the N pictures a row shows, -1 for none. cache: keys and values of the P tokens
        before `ids`; those of `ids` are appended. added: [R, T, width], a perturbation of the text embeddings.
        """

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states."""

    def generate(
        self, ids: Tensor, attention_mask: Tensor, features: Tensor | None, owner: Tensor, **options: Any
    ) -> Tensor:
        """New tokens [R, <= max_new_tokens] of left-padded rows, by transformers' own `generate`."""


def _embed(model: Any, ids: Tensor, added: Tensor | None) -> Tensor:
    embeds = model.get_input_embeddings()(ids)
    return embeds if added is None else embeds + added.to(embeds.dtype)


def _logits(writer: Any, hidden: Tensor) -> Tensor:
    """Logits as a "...ForCausalLM" makes them: some cap (Gemma 2) or scale (Cohere, Granite) what their head gives."""
    logits, config = writer.get_output_embeddings()(hidden), writer.config.get_text_config()
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = cap * torch.tanh(logits / cap)
    return logits * (getattr(config, "logit_scale", None) or 1) / (getattr(config, "logits_scaling", None) or 1)


def _cached(cache: Any) -> dict[str, Any]:
    return {"use_cache": False} if cache is None else {"cache": cache, "use_cache": True}


def _hidden(body: Any, embeds: Tensor, mask: Tensor | None, positions: Tensor | None, cache: Any) -> Tensor:
    """Last hidden states [R, T, d] of a language model's body."""
    given = {} if positions is None else {"position_ids": positions}
    return body(inputs_embeds=embeds, attention_mask=mask, **given, **_cached(cache)).last_hidden_state


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
    paths = ("prefix", "expanded", "vision")

    @property
    def body(self) -> Any:
        raise AttributeError(f"{type(self).__name__}: a family names its language model")

    @property
    def writer(self) -> Any:
        raise AttributeError(f"{type(self).__name__}: a family names the part that generates")

    def _embeds(self, ids: Tensor, features: Tensor | None, owner: Tensor, added: Tensor | None = None) -> Tensor:
        return _scatter(_embed(self.model, ids, added), ids == self.image_token, features, owner)

    def hidden(
        self,
        ids: Tensor,
        mask: Tensor | None,
        features: Tensor | None,
        owner: Tensor,
        *,
        positions: Tensor | None = None,
        cache: Any = None,
        added: Tensor | None = None,
    ) -> Tensor:
        return _hidden(self.body, self._embeds(ids, features, owner, added), mask, positions, cache)

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

    def look(self, pixel_values: Tensor, layer: str) -> Tensor:
        seen = self.model.model.vision_tower(pixel_values=pixel_values, output_hidden_states=True)
        if layer == "pooled":
            return seen.pooler_output
        config = self.model.config
        taken = config.vision_feature_layer
        first = int(config.vision_feature_select_strategy == "default")  # drops the class token
        layers = [taken] if isinstance(taken, int) else taken
        return torch.cat([seen.hidden_states[k][:, first:] for k in layers], -1)


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

    def head(self, hidden: Tensor) -> Tensor:
        return _logits(self.writer, hidden)

    def look(self, pixel_values: Tensor, layer: str) -> Tensor:
        seen = self.model.vision_model(pixel_values=pixel_values)
        return seen.pooler_output if layer == "pooled" else seen.last_hidden_state


@dataclass
class Idefics:
    """IDEFICS: gated cross-attention layers look at the picture; the sequence holds one marker for it."""

    model: Any
    image_token: int
    placeholders: int = 1
    paths = ("packed", "prefix", "expanded", "vision")

    def encode(self, pixel_values: Tensor) -> Tensor:
        return self.model.model.vision_model(pixel_values=pixel_values).last_hidden_state

    def look(self, pixel_values: Tensor, layer: str) -> Tensor:
        seen = self.model.model.vision_model(pixel_values=pixel_values)
        return seen.pooler_output if layer == "pooled" else seen.last_hidden_state

    def _sight(self, ids: Tensor, features: Tensor | None, owner: Tensor, cache: Any = None) -> tuple[Tensor, Tensor]:
        """Each row's picture [R, 1, n, d], zeros for none, and who sees it [R, T, 1]: the marker and all after.

        Rows without a picture get an all-zero mask, for which the class closes its cross-attention gates.
        """
        if features is None:
            vision = self.model.config.vision_config
            tokens = (vision.image_size // vision.patch_size) ** 2 + 1
            features = torch.zeros(1, tokens, vision.embed_dim, dtype=self.model.dtype, device=ids.device)
        picture = features[owner.clamp(min=0)] * (owner >= 0).to(features.dtype)[:, None, None]
        marks = ids == self.image_token
        # Behind a cached marker every token sees the picture.
        after = torch.ones_like(marks) if cache is not None and not bool(marks.any()) else marks.cumsum(1) > 0
        return picture[:, None], (after & (owner >= 0)[:, None]).long()[..., None]

    def hidden(
        self,
        ids: Tensor,
        mask: Tensor | None,
        features: Tensor | None,
        owner: Tensor,
        *,
        positions: Tensor | None = None,
        cache: Any = None,
        added: Tensor | None = None,
    ) -> Tensor:
        picture, sees = self._sight(ids, features, owner, cache)
        return self.model.model(
            inputs_embeds=_embed(self.model, ids, added),
            attention_mask=mask,
            position_ids=positions,
            image_encoder_embeddings=picture,
            image_attention_mask=sees,
            **_cached(cache),
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
    paths = ("vision",)

    def encode(self, pixel_values: Tensor) -> Tensor:
        raise ValueError("a text-only model takes no picture")

    def look(self, pixel_values: Tensor, layer: str) -> Tensor:
        raise ValueError("a text-only model has no vision tower")

    def hidden(
        self,
        ids: Tensor,
        mask: Tensor | None,
        features: Tensor | None,
        owner: Tensor,
        *,
        positions: Tensor | None = None,
        cache: Any = None,
        added: Tensor | None = None,
    ) -> Tensor:
        return _hidden(self.model.base_model, _embed(self.model, ids, added), mask, positions, cache)

    def head(self, hidden: Tensor) -> Tensor:
        return _logits(self.model, hidden)

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
