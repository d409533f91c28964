"""InstructBLIP: a Q-Former that reads the instruction while it looks (Dai et al. 2023, arXiv:2305.06500)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from proofglass.victims.hf.families.base import Picture, Shown
from proofglass.victims.hf.families.blip2 import Blip2


class InstructBlip(Blip2):
    """InstructBLIP with a decoder-only language model (Salesforce/instructblip-vicuna-7b and -13b; open).

    A picture's features are what the tower makes of it. The Q-Former turns them into tokens once per (picture, prompt),
    so only pairs with the same prompt share more than the tower. It reads the text that the language model's prompt
    decodes to, through a tokenizer of its own that knows no case and no runs of spaces.
    template: the bare instruction, as in its paper; a system prompt and earlier turns on lines of their own.
    """

    share = "prompt"
    asks_processor = True
    template = (
        "{% for m in messages %}{% if m['content'] is not string %}{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image>{% endif %}{% endfor %}{% endif %}{% endfor %}{{ bos_token }}"
        "{% for m in messages %}{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
        "{% if c['type'] != 'image' %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
        "{% if not loop.last %}\n{% endif %}{% endfor %}"
    )

    def encode(self, values: Mapping[str, Tensor]) -> Tensor:
        found: Tensor = self.model.vision_model(**values).last_hidden_state
        return found

    def check(self, ids: Sequence[int]) -> None:
        most, found = self.model.config.qformer_config.max_position_embeddings, len(self._instruction(ids))
        if found > most:
            raise ValueError(f"chat: {found} tokens for the Q-Former, which reads at most {most}")

    def _instruction(self, ids: Sequence[int]) -> list[int]:
        """What the Q-Former reads of a prompt: the text that its language model's tokens stand for."""
        tokenizer, reader = self.chats.tokenizer, self.chats.full_processor.qformer_tokenizer
        said = [token for token in ids if token != self.image_token]
        if said[:1] == [tokenizer.bos_token_id]:
            said = said[1:]
        return list(reader(tokenizer.decode(said, clean_up_tokenization_spaces=False))["input_ids"])

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
        if bool((ids == self.image_token).any()):
            pictures, shown = self._asked(_prompts(ids, mask, starts), pictures, shown)
        return super().hidden(
            ids, mask, pictures, shown, positions=positions, cache=cache, added=added, starts=starts
        )  # fmt: skip

    def _asked(
        self, prompts: Sequence[tuple[int, ...]], pictures: Sequence[Picture], shown: Shown
    ) -> tuple[list[Picture], Shown]:
        """Each (picture, prompt) as the language model sees it, all of them in one pass of the Q-Former."""
        wanted = list(dict.fromkeys((k, prompt) for prompt, row in zip(prompts, shown, strict=True) for k in row))
        read = {prompt: torch.tensor(self._instruction(prompt)) for _, prompt in wanted}
        texts = pad_sequence([read[prompt] for _, prompt in wanted], batch_first=True)
        real = pad_sequence([torch.ones_like(read[prompt]) for _, prompt in wanted], batch_first=True)
        seen = torch.stack([pictures[k].features for k, _ in wanted])
        queries = self.model.query_tokens.expand(len(seen), -1, -1)
        attended = torch.cat([torch.ones(queries.shape[:2], dtype=torch.long), real], 1)
        asked = self.model.qformer(
            input_ids=texts.to(seen.device),
            attention_mask=attended.to(seen.device),
            query_embeds=queries,
            encoder_hidden_states=seen,
        ).last_hidden_state[:, : queries.shape[1]]
        found = [Picture(features) for features in self.model.language_projection(asked)]
        place = {each: k for k, each in enumerate(wanted)}
        return found, [[place[k, prompt] for k in row] for prompt, row in zip(prompts, shown, strict=True)]


def _prompts(ids: Tensor, mask: Tensor | None, starts: Sequence[int] | None) -> list[tuple[int, ...]]:
    """Each row's prompt, without padding."""
    rows = []
    for r, row in enumerate(ids.tolist()):
        real = [True] * len(row) if mask is None else mask[r, -len(row) :].bool().tolist()
        rows.append(tuple(token for k, token in enumerate(row) if real[k] and (starts is None or k < starts[r])))
    return rows
