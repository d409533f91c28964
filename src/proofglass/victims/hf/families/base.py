"""What an adapter says about its family, and what the families have in common.

A family sees token ids in which every picture is already expanded to its own run of tokens, and pictures as the
features that `encode` made of them. All else (batches, padding, shared prefixes, losses, decoding) is the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from proofglass.errors import ClosedVictim

NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "norm_f")  # what transformers calls the last one
Shown = Sequence[Sequence[int]]
"""Per row: which of the call's pictures it shows, in the order of its text."""


class Picture(NamedTuple):
    """One picture as the language model sees it. features: [n, d]; grid: what else the family must know of it, such
    as rows and columns of patches (`Family.grid`)."""

    features: Tensor
    grid: tuple[int, ...] = ()


class Family:
    """An adapter around a transformers model. Subclasses override what differs.

    image_token: id of the place holders, -1 for none. paths: ways to compute gradients that share work between the
    pairs of a picture, the fastest first (`gradient.py`). share: "picture" = pairs that begin alike up to their picture
    share that much; "start" = so they do, and the text before the picture sees it, too; "prompt" = only pairs with the
    same whole prompt share (its text changes how the picture is seen).
    windows: the adapter applies a sliding window itself, so sharing is allowed beyond it. template: chat template for
    folders that bring none. asks_processor: whether the folder's processor of text and pictures tells which tokens
    stand for a picture, so that there must be one. applies: whether that processor takes what a folder's own template
    writes; some were made before templates, and put pictures elsewhere. cascades: whether its attention can look at one
    copy of what rows share (`cascade.py`).
    """

    paths: tuple[str, ...] = ("prefix", "expanded", "vision")
    share: Literal["picture", "start", "prompt"] = "picture"
    windows: bool = False
    cascades: bool = True
    template: str = ""
    sees_images: bool = True
    asks_processor: bool = True
    applies: bool = True
    continues: Mapping[str, int] = {"attention_mask": 1, "mm_token_type_ids": 0, "token_type_ids": 0}

    def __init__(self, model: Any, image_token: int) -> None:
        self.model = model
        self.image_token = image_token
        self.chats: Any = None  # the folder's `Chats`, for a family that must know its tokenizer
        self.spoken: Tensor | None = None

    @classmethod
    def refusal(cls, config: Mapping[str, Any]) -> str:
        """Why weights with this config.json cannot be used, and which can; "" if they can."""
        return ""

    def try_out(self) -> None:
        """Raise UsageError if this very model does not fit the adapter. Called once, on loading."""

    # ---- the parts of the model -----------------------------------------------------------------------------------

    @property
    def generation(self) -> Any:
        """The generation configuration that the model's own `generate` follows."""
        return self.model.generation_config

    @property
    def body(self) -> Any:
        """The language model without its head: embeddings -> last hidden states."""
        return self.model.model.language_model

    @property
    def dtype(self) -> torch.dtype:
        """Of the language model's weights; some other parts keep float32 beside float16 (BLIP-2's Q-Former)."""
        found: torch.dtype = self.body.dtype
        return found

    @property
    def writer(self) -> Any:
        """What holds the language model's head and its configuration."""
        return self.model

    @property
    def crossed(self) -> frozenset[int]:
        """Layers whose keys and values are not those of the text but those of all pictures."""
        return frozenset()

    @property
    def switch(self) -> int:
        """Length beyond which a whole sequence takes other rotary frequencies (LongRoPE, Ding et al. 2024,
        arXiv:2402.13753), so that shorter and longer ones can share nothing. 0: the model has one set."""
        rope = getattr(self.writer.config.get_text_config(), "rope_parameters", None) or {}
        return int(rope["original_max_position_embeddings"]) if rope.get("rope_type") == "longrope" else 0

    @property
    def window(self) -> int:
        """How many tokens back a layer with a sliding window sees. 0: there is none, or the adapter applies it itself
        (`windows`)."""
        text = self.model.config.get_text_config()
        if self.windows or not getattr(text, "use_sliding_window", True):
            return 0
        return int(getattr(text, "sliding_window", None) or 0)

    def takes_gaps(self, tokens: int) -> bool:
        """Whether padding may stand inside rows of up to so many tokens. Not where a layer counts columns of the cache
        instead of a row's own tokens, as windows and most ALiBi biases do."""
        text = self.model.config.get_text_config()
        biased = getattr(text, "alibi", False) or text.model_type == "mpt"  # BLOOM's counts tokens
        return not biased and not 0 < self.window < tokens

    @property
    def vocabulary(self) -> int:
        """How many logits a token has."""
        return int(self.writer.get_output_embeddings().weight.shape[0])

    @property
    def embedded(self) -> int:
        """How many tokens have an embedding."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def layers(self) -> Any:
        """The decoder layers, in order: where hidden states are read and steered."""
        return self.body.layers

    # ---- text -----------------------------------------------------------------------------------------------------

    def chat_template(self, source: str) -> str:
        """The folder's chat template, changed where text beside a picture must be tokenised together with it."""
        return source

    def picture_ids(self, processor: Any, tokenizer: Any, inputs: Mapping[str, Any]) -> list[int]:
        """Token ids that stand for one picture. inputs: what the official image processor makes of a picture of the
        same size. Default: as the folder's own processor writes it."""
        text = processor.replace_image_token(inputs, 0)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    def framed(self, ids: list[int], front: list[int], behind: list[int]) -> list[int]:
        """Token ids of a chat as the template writes it -> with the tokens that nobody sees in the template. front,
        behind: what the tokenizer adds to a text by default, such as its begin token.

        Default: as `processor.apply_chat_template(tokenize=True)` of transformers 5: none of them where the template
        writes the begin token itself, else all. `processor(text=...)` on the rendered chat adds them in any case, and
        so a second begin token beside a template's own. That is an accident of how the call is split in two; the one
        call is what transformers documents and what its pipelines make, so it is followed.
        """
        begun = ids[:1] == [self.chats.tokenizer.bos_token_id]
        return ids if begun else [*front, *ids, *behind]

    def check(self, ids: Sequence[int]) -> None:
        """Raise ValueError for a prompt (pictures expanded) that the model cannot take."""

    def joined(self, before: Sequence[int], run: list[int]) -> list[int]:
        """What of a picture's token ids is written behind `before`: all, unless neighbours share a token."""
        return run

    def marker(self, processor: Any, tokenizer: Any) -> int:
        """Id of the one token by which the chat template marks a picture. Default: the place holder."""
        return self.image_token

    def official(self, processor: Any, text: str, images: Sequence[Any]) -> Mapping[str, Any]:
        """All inputs of plain transformers for one chat, by calling the processor as its documentation does. text: as
        the template writes it; images: Pillow's."""
        found: Mapping[str, Any] = processor(
            text=[text], images=[list(images)] if images else None, return_tensors="pt"
        )
        return found

    def plain_loss(self, inputs: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """The loss that plain transformers gives for `official` inputs, what adapters are checked against."""
        found: Tensor = self.model(**inputs, labels=labels, use_cache=False).loss
        return found

    def bare(self, ids: Tensor, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What plain transformers takes besides ids [1, T] and their mask, for a folder without a processor of text and
        pictures. values: of the official image processor."""
        return dict(values)

    # ---- pictures -------------------------------------------------------------------------------------------------

    def encode(self, values: Mapping[str, Tensor]) -> Tensor:
        """What a twin made of N pictures of one size (`twins/`) -> their features [N, n, d], with gradient."""
        found = self.model.get_image_features(**values).pooler_output
        return torch.stack(list(found)) if isinstance(found, (list, tuple)) else found

    def grid(self, values: Mapping[str, Tensor]) -> tuple[int, ...]:
        """`Picture.grid` of pictures of one size."""
        return ()

    def look(self, values: Mapping[str, Tensor], layer: str) -> Tensor:
        """The tower's "pooled" output [N, d], or the "patches" [N, n, d] that the rest of the model reads."""
        patches = self.encode(values)
        return patches.mean(1) if layer == "pooled" else patches

    # ---- the language model ---------------------------------------------------------------------------------------

    def embeds(self, ids: Tensor, pictures: Sequence[Picture], shown: Shown, added: Tensor | None = None) -> Tensor:
        """Token embeddings [R, T, d], features written over the place holders. added: [R, T, d], or None."""
        embeds = self.model.get_input_embeddings()(ids)
        if added is not None:
            embeds = embeds + added.to(embeds.dtype)
        return scatter(embeds, ids == self.image_token, pictures, shown)

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
        """Last hidden states [R, T, d].

        mask: None where no token is padding; [R, P + T] of 0 and 1; or [.., 1, T, P + T] who sees whom, boolean, or
        0 and -max. P tokens are in `cache` already (`DynamicCache`, to which this call appends). positions: [R, T],
        the index of each token in its own row; None counts from 0. pictures, shown: all pictures of a row, also those
        whose tokens are in the cache. starts: where each row's target begins in `ids`; None: all of it is prompt.
        """
        return run(self.body, self.embeds(ids, pictures, shown, added), mask, positions, cache)

    @contextmanager
    def spoken_at(self, places: Tensor) -> Iterator[None]:
        """Of the calls inside, the tokens at `places`, indices into [R x T], predict a token of a reply: where layers
        are changed by a function (`inside.steering`). Outside none of them does."""
        self.spoken = places
        try:
            yield
        finally:
            self.spoken = None

    @property
    def norm(self) -> Any:
        """The language model's last normalisation, in front of its head. Raises ClosedVictim where it has another
        name than those known here (`NORMS`)."""
        for part in (self.body, getattr(self.body, "decoder", None)):
            for name in NORMS:
                if (found := getattr(part, name, None)) is not None:
                    return found
        raise ClosedVictim(f"{type(self.body).__name__}: no last normalisation found by the names {', '.join(NORMS)}")

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states. Most classes with pictures take their head's output as it is, whatever the
        configuration of their language model says of caps and scales."""
        found: Tensor = self.writer.get_output_embeddings()(hidden)
        return found


def scatter(embeds: Tensor, places: Tensor, pictures: Sequence[Picture], shown: Shown) -> Tensor:
    """Write each row's features into its place holders, in order; a row without any has its pictures in the cache.

    A single token that is a place holder is a word that the model said itself, and stays as it is. Raises ValueError
    if a row has another number of place holders than features.
    """
    holders: list[int] = places.sum(1).tolist()
    taken = []
    for r, (row, count) in enumerate(zip(shown, holders, strict=True)):
        expected = sum(len(pictures[k].features) for k in row)
        if count == expected or not count:
            taken += [pictures[k].features for k in row if count]
        elif places.shape[1] == 1:
            places = places.clone()
            places[r] = False
        else:
            raise ValueError(f"pictures: {count} place holders in the text for {expected} features")
    if not taken:
        return embeds
    return embeds.masked_scatter(places[..., None].expand_as(embeds), torch.cat(taken).to(embeds.dtype))


def run(body: Any, embeds: Tensor, mask: Any, positions: Tensor | None, cache: Any, **more: Any) -> Tensor:
    """Last hidden states [R, T, d] of a language model's body."""
    given = {} if positions is None else {"position_ids": positions}
    found: Tensor = body(inputs_embeds=embeds, attention_mask=mask, **given, **cached(cache), **more).last_hidden_state
    return found


def cached(cache: Any) -> dict[str, Any]:
    return {"use_cache": False} if cache is None else {"cache": cache, "use_cache": True}


def scaled_logits(writer: Any, hidden: Tensor) -> Tensor:
    """Logits as a "...ForCausalLM" makes them: some cap (Gemma 2) or scale (Cohere, Granite) what their head gives."""
    found, config = writer.get_output_embeddings()(hidden), writer.config.get_text_config()
    if cap := getattr(config, "final_logit_softcapping", None):
        found = cap * torch.tanh(found / cap)
    made: Tensor = found * (getattr(config, "logit_scale", None) or 1) / (getattr(config, "logits_scaling", None) or 1)
    return made
