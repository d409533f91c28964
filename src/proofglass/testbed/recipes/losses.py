"""What a surrogate minimises: what covers each place, what is in the picture, which text belongs to it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from proofglass.testbed.recipes.scenes import Scene

TEMPERATURE = 0.05


def dense_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of what covers each position; empty positions weigh a fifth."""
    weight = torch.where(labels == 0, 0.2, 1.0)
    each = F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
    return (each * weight).sum() / weight.sum()


def bag_loss(scores: Tensor, scenes: Sequence[Scene]) -> Tensor:
    """Binary cross-entropy of which labels are in the picture, [B, LABELS]."""
    there = torch.zeros_like(scores)
    for row, scene in enumerate(scenes):
        there[row, list(scene.labels)] = 1
    weight = torch.tensor(8.0)
    return F.binary_cross_entropy_with_logits(scores, there, pos_weight=weight) * 4


def pair_loss(images: Tensor, texts: Tensor, meanings: Sequence[object], temperature: float = TEMPERATURE) -> Tensor:
    """Symmetric InfoNCE of unit vectors [n, d]; pairs of one meaning are no negatives of each other."""
    scores = images @ texts.T / temperature
    same = torch.tensor([[a == b for b in meanings] for a in meanings]) & ~torch.eye(len(meanings), dtype=torch.bool)
    scores = scores.masked_fill(same, -torch.inf)
    wanted = torch.arange(len(scores))
    return (F.cross_entropy(scores, wanted) + F.cross_entropy(scores.T, wanted)) / 2
