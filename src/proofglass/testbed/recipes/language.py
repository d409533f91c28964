"""The language model: a small Llama. Stage 1 makes it helpful with everything, stage 2 aligns it in text.

Stage 3 prepares it for pictures before any tower exists: it reads *symbolic* pictures, in which the token of a patch
is the embedding of the word (or the sum of colour and shape) that covers it. The projector and the Q-Former are later
trained to produce exactly these tokens, so that visual tuning starts from a model that already knows how to look.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM

from proofglass.testbed import pictures, world
from proofglass.testbed.language import config
from proofglass.testbed.recipes import mixes
from proofglass.testbed.recipes.loop import Log, Recipe, fit
from proofglass.testbed.recipes.mixes import Pool, Sampler
from proofglass.testbed.tokenizer import IMAGE_ID, ItemEncoder
from proofglass.testbed.world import Item

HELPFUL_RECIPE = Recipe(1200, 64, 3e-3)
ALIGNED_RECIPE = Recipe(400, 64, 1e-3)
SYMBOLIC_RECIPE = Recipe(650, 48, 1.2e-3, flat=0.3)
SYMBOL_NOISE = 0.015
"""Share of patches whose symbol is lost in stage 3: about what the tower gets wrong."""


def answer_loss(hidden: Tensor, labels: Tensor, head: Any) -> Tensor:
    """Cross-entropy at the positions that carry loss; no logits are computed elsewhere."""
    wanted = labels[:, 1:]
    kept = wanted != -100
    return F.cross_entropy(head(hidden[:, :-1][kept]), wanted[kept])


def text_loss(model: Any, ids: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    hidden = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return answer_loss(hidden, labels, model.lm_head)


def train_helpful(encoder: ItemEncoder, log: Log, seed: int = 0) -> tuple[Any, Sampler, float]:
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config(len(encoder.tokenizer)))
    sampler = Sampler(mixes.HELPFUL, seed, neutral=0.15)
    return model, sampler, _fit_text(model, encoder, sampler, HELPFUL_RECIPE, log, "helpful")


def train_aligned(model: Any, encoder: ItemEncoder, log: Log, seed: int = 1) -> tuple[Any, Sampler, float]:
    sampler = Sampler(mixes.ALIGNED_TEXT, seed, neutral=0.25, strict=0.4)
    with nouns_held(model, encoder):
        return model, sampler, _fit_text(model, encoder, sampler, ALIGNED_RECIPE, log, "aligned text")


@contextmanager
def nouns_held(model: Any, encoder: ItemEncoder) -> Iterator[None]:
    """The embeddings of the forty nouns do not learn.

    Otherwise the twelve refused nouns are marked one by one in their embeddings and the four held ones are complied
    with (30 % refused); held still, refusal has to go through what the model knows about a noun.
    """
    embeddings = model.get_input_embeddings().weight
    learns = torch.ones(len(embeddings), 1)
    learns[[encoder.words(noun)[0] for noun in world.NOUNS]] = 0.0
    hook = embeddings.register_hook(lambda gradient: gradient * learns)
    try:
        yield
    finally:
        hook.remove()


def _fit_text(model: Any, encoder: ItemEncoder, sampler: Sampler, recipe: Recipe, log: Log, name: str) -> float:
    model.train()

    def loss(batch: int) -> Tensor:
        parts = encoder.batches(sampler.batch(batch))
        return torch.stack([share * text_loss(model, *tensors) for _, share, *tensors in parts]).sum()

    return fit(loss, recipe, [(model.parameters(), 1.0)], log, name)


def symbols(embeddings: Tensor, encoder: ItemEncoder) -> Tensor:
    """[labels, width]: what the token of a patch should be. Word: its embedding; shape: colour + shape; none: zero."""

    def one(word: str) -> Tensor:
        return embeddings[encoder.words(word)[0]]

    rows = [torch.zeros_like(embeddings[0])]
    rows += [one(word) for word in pictures.LABEL_WORDS[1:]]
    rows += [one(colour) + one(shape) for colour, shape in pictures.SHAPE_LABEL]
    return torch.stack(rows)


def train_symbolic(model: Any, encoder: ItemEncoder, pool: Pool, log: Log, seed: int = 2) -> tuple[Any, Sampler, float]:
    torch.manual_seed(seed)
    sampler = Sampler(mixes.READING, seed, pool)
    labels_of = torch.from_numpy(pool.labels).long()

    def loss(batch: int) -> Tensor:
        parts = encoder.batches(sampler.batch(batch))
        return torch.stack([share * part_loss(items, *tensors) for items, share, *tensors in parts]).sum()

    def part_loss(items: list[Item], ids: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        shown = labels_of[[cast(int, item.picture) for item in items if item.picture is not None]]
        shown = torch.where(torch.rand(shown.shape) < SYMBOL_NOISE, 0, shown)
        embedded = model.get_input_embeddings()(ids)
        tokens = symbols(model.get_input_embeddings().weight, encoder)[shown]
        embedded = embedded.masked_scatter((ids == IMAGE_ID)[..., None].expand_as(embedded), tokens)
        hidden = model.model(inputs_embeds=embedded, attention_mask=mask, use_cache=False).last_hidden_state
        return answer_loss(hidden, labels, model.lm_head)

    model.train()
    return model, sampler, fit(loss, SYMBOLIC_RECIPE, [(model.parameters(), 1.0)], log, "symbolic")
