"""IDEFICS 1, after Flamingo: gated cross-attention layers look at the picture (Laurencon et al. 2023,
arXiv:2306.16527; Alayrac et al. 2022, arXiv:2204.14198)."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from proofglass.victims.hf.families.base import Family, Picture, Shown, cached

AROUND = "<fake_token_around_image>"
TURN_END = "<end_of_utterance>"
PICTURE = re.compile(f"(?:{AROUND})?<image>(?:{AROUND})?")


class Idefics(Family):
    """IDEFICS 1 (HuggingFaceM4/idefics-9b, -9b-instruct, -80b; open). A token sees the picture of the last marker
    before it.

    template: the dialogues of the -instruct weights; others have no token for the end of a turn, and it is left out.
    Spaces beside a picture are dropped, as the official processor does. A folder's own template must not write the end
    token between turns: the official processor hides pictures behind it.
    """

    asks_processor = False
    applies = False  # it would put all pictures behind the text
    paths = ("packed", "prefix", "expanded", "vision")
    template = (
        "{{ bos_token }}{% for m in messages %}{% if not loop.first %}{{ '\n' }}{% endif %}"
        "{% if m['role'] == 'user' %}User:{% elif m['role'] == 'assistant' %}Assistant:{% endif %}"
        "{% if m['content'] is string %}{% if m['role'] != 'system' %}{{ ' ' }}{% endif %}{{ m['content'].strip(' ') }}"
        "{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% else %}"
        "{% if loop.first or loop.previtem['type'] != 'image' %}{{ ' ' }}{% endif %}{{ c['text'].strip(' ') }}"
        "{% endif %}{% endfor %}{% endif %}{% if m['role'] != 'system' %}<end_of_utterance>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '\nAssistant:' }}{% endif %}"
    )

    @property
    def generation(self) -> Any:
        """A reply ends with its turn and marks no picture, as the model card asks of who calls `generate`."""
        found, added = copy.copy(self.model.generation_config), self.chats.tokenizer.get_added_vocab()
        if TURN_END in added:
            ends = found.eos_token_id if isinstance(found.eos_token_id, list) else [found.eos_token_id]
            found.eos_token_id = list(dict.fromkeys([*(e for e in ends if e is not None), added[TURN_END]]))
        if found.bad_words_ids is None:
            found.bad_words_ids = [[added[mark]] for mark in (AROUND, "<image>") if mark in added] or None
        return found

    @property
    def body(self) -> Any:
        return self.model.model

    @property
    def vocabulary(self) -> int:
        return int(self.model.config.vocab_size + self.model.config.additional_vocab_size)

    @property
    def embedded(self) -> int:
        return self.vocabulary

    def chat_template(self, source: str) -> str:
        return source if TURN_END in self.chats.tokenizer.get_added_vocab() else source.replace(TURN_END, "")

    def picture_ids(self, processor: Any, tokenizer: Any, inputs: Mapping[str, Any]) -> list[int]:
        """The marker, between two fake tokens where the tokenizer has them."""
        around = tokenizer.get_added_vocab().get(AROUND)
        return [self.image_token] if around is None else [around, self.image_token, around]

    def joined(self, before: Sequence[int], run: list[int]) -> list[int]:
        return run[1:] if len(run) > 1 and before and before[-1] == run[0] else run

    def framed(self, ids: list[int], front: list[int], behind: list[int]) -> list[int]:
        begin = self.chats.tokenizer.bos_token_id
        return ids if begin is None or ids[:1] == [begin] else [begin, *ids]  # by the processor, whatever the tokenizer

    def official(self, processor: Any, text: str, images: Sequence[Any]) -> Mapping[str, Any]:
        left = list(images)
        said = PICTURE.split(text.removeprefix(processor.tokenizer.bos_token))
        parts = [said[0], *(part for each in said[1:] for part in (left.pop(0), each))]
        found: Mapping[str, Any] = processor(text=[part for part in parts if not isinstance(part, str) or part])
        return found

    def bare(self, ids: Tensor, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if not values:
            return {}
        number = (ids == self.image_token).cumsum(1)[..., None]
        pixels = values["pixel_values"][None]
        sees = (number == torch.arange(1, pixels.shape[1] + 1)).long()
        return {"pixel_values": pixels, "image_attention_mask": sees}

    def plain_loss(self, inputs: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        # Given labels, the class would fold logits by the size of its vocabulary without the added tokens, and fail.
        found = self.model(**inputs, use_cache=False).logits
        made: Tensor = self.model.loss_function(logits=found, labels=labels, vocab_size=self.vocabulary)
        return made

    def encode(self, values: Mapping[str, Tensor]) -> Tensor:
        seen = self.model.model.vision_model(**values).last_hidden_state
        found: Tensor = self.model.model.perceiver_resampler(seen) if self.model.config.use_resampler else seen
        return found

    def look(self, values: Mapping[str, Tensor], layer: str) -> Tensor:
        seen = self.model.model.vision_model(**values)
        found: Tensor = seen.pooler_output if layer == "pooled" else seen.last_hidden_state
        return found

    def _features(self, pictures: Sequence[Picture], shown: Shown, like: Tensor) -> Tensor:
        """Each row's pictures [R, M, n, d], zeros for none."""
        config = self.model.config
        vision, resampler = config.vision_config, config.perceiver_config
        tokens = (vision.image_size // vision.patch_size) ** 2 + 1
        tokens = resampler.resampler_n_latents if config.use_resampler else tokens
        blank = torch.zeros(tokens, vision.embed_dim, dtype=like.dtype, device=like.device)
        most = max(1, *map(len, shown))
        return torch.stack(
            [torch.stack([*(pictures[k].features for k in row), *[blank] * (most - len(row))]) for row in shown]
        )

    def _sight(self, ids: Tensor, shown: Shown, positions: Tensor | None, packed: bool, behind: bool) -> Tensor:
        """Which of its row's pictures a token sees, [R, T, M].

        A row without any has an all-zero mask, for which the class closes its gates. packed: positions restart with
        every suffix, and so do the markers. behind: a cache holds the markers that are not in `ids`.
        """
        marks = (ids == self.image_token).long()
        number = marks.cumsum(1)
        if packed:
            assert positions is not None
            begins = F.pad(positions.diff(dim=1) <= 0, (1, 0), value=True)
            number = number - torch.where(begins, number - marks, 0).cummax(1).values
        counts = torch.tensor([len(row) for row in shown], device=ids.device)[:, None]
        if behind:
            number = number + (counts - number[:, -1:]).clamp(min=0)
        last = torch.minimum(number, counts)  # a reply may write a marker, too
        most = max(1, *map(len, shown))
        return ((last[..., None] == torch.arange(1, most + 1, device=ids.device)) & (counts > 0)[..., None]).long()

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
        features = self._features(pictures, shown, embeds).flatten(0, 1)
        name = "perceiver_embeddings" if self.model.config.use_resampler else "image_encoder_embeddings"
        packed = mask is not None and mask.dim() == 4
        behind = cache is not None and cache.get_seq_length() > 0
        found: Tensor = self.model.model(
            inputs_embeds=embeds if added is None else embeds + added.to(embeds.dtype),
            attention_mask=mask,
            position_ids=positions,
            image_attention_mask=self._sight(ids, shown, positions, packed, behind),
            **{name: features},
            **cached(cache),
        ).last_hidden_state
        return found

    def head(self, hidden: Tensor) -> Tensor:
        found: Tensor = self.model.lm_head(hidden)
        return found
