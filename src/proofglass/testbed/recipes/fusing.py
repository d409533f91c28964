"""Training a fusion on cached features of the frozen tower."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proofglass.testbed.fusion import fusion_of, tower_of
from proofglass.testbed.recipes.language import answer_loss, symbols
from proofglass.testbed.recipes.loop import Log, Recipe, fit
from proofglass.testbed.recipes.mixes import Pool
from proofglass.testbed.tokenizer import IMAGE_ID, ItemEncoder

ALIGNMENT: Mapping[str, Recipe] = {"linear": Recipe(1500, 32, 3e-3), "queries": Recipe(1000, 32, 2e-3)}
_NEW_MODULES = ("projector", "qformer", "query_tokens", "language_projection", "gated_cross")


def image_tokens(model: Any, features: Tensor) -> Tensor:
    """[B, 64, width] tokens that the language model sees, from tower features [B, 65, width] (linear, queries)."""
    if fusion_of(model) == "linear":
        projected: Tensor = model.model.multi_modal_projector(features[:, 1:])
        return projected
    queries = model.query_tokens.expand(len(features), -1, -1)
    found = model.qformer(query_embeds=queries, encoder_hidden_states=features).last_hidden_state
    projected = model.language_projection(found)
    return projected


def loss_from_features(
    model: Any, ids: Tensor, labels: Tensor, mask: Tensor, features: Tensor, shown: Tensor
) -> Tensor:
    """Loss with cached features [number of rows with a picture, 65, width]; `shown`: bool, which rows these are."""
    fusion = fusion_of(model)
    if fusion == "cross":
        every = features.new_zeros(len(ids), 1, *features.shape[1:])
        every[shown] = features[:, None]
        seen = ((ids == IMAGE_ID).cumsum(1) > 0).long()[..., None]
        hidden = model.model(
            input_ids=ids,
            attention_mask=mask,
            image_encoder_embeddings=every,
            image_attention_mask=seen,
            use_cache=False,
        ).last_hidden_state
        return answer_loss(hidden, labels, model.lm_head)
    embedded = model.get_input_embeddings()(ids)
    if len(features):
        place = (ids == IMAGE_ID)[..., None].expand_as(embedded)
        embedded = embedded.masked_scatter(place, image_tokens(model, features))
    llama = model.model.language_model if fusion == "linear" else model.language_model.model
    head = model.lm_head if fusion == "linear" else model.language_model.lm_head
    return answer_loss(
        llama(inputs_embeds=embedded, attention_mask=mask, use_cache=False).last_hidden_state, labels, head
    )


def freeze_tower(model: Any) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(new modules, language model); the tower stops learning."""
    for parameter in tower_of(model).parameters():
        parameter.requires_grad_(False)
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    new = [p for name, p in named if any(part in name for part in _NEW_MODULES)]
    old = [p for name, p in named if not any(part in name for part in _NEW_MODULES)]
    return new, old


def align_tokens(model: Any, encoder: ItemEncoder, pool: Pool, features: Tensor, log: Log, seed: int = 0) -> float:
    """Train projector or Q-Former so that the token of a patch is the (frozen) embedding of what covers the patch.

    The decisive step: decodable image tokens are not enough, they must lie where the language model reads.
    """
    torch.manual_seed(seed)
    fusion = fusion_of(model)
    with torch.no_grad():
        wanted = symbols(model.get_input_embeddings().weight, encoder).detach()
    scale = wanted[1:].pow(2).sum(-1).mean()
    labels_of = torch.from_numpy(pool.labels).long()
    new, _ = freeze_tower(model)

    def loss(batch: int) -> Tensor:
        chosen = torch.randint(len(features), (batch,))
        tokens, labels = image_tokens(model, features[chosen].float()), labels_of[chosen]
        weight = torch.where(labels == 0, 0.2, 1.0)
        distance = (tokens - wanted[labels]).pow(2).sum(-1) / scale
        closeness = (2 * tokens @ wanted.T - wanted.pow(2).sum(-1)) / scale  # to each symbol, up to |token|^2
        name = F.cross_entropy(6 * closeness.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
        return ((distance + name) * weight).sum() / weight.sum()

    return fit(loss, ALIGNMENT[fusion], [(new, 1.0)], log, f"{fusion} tokens")
