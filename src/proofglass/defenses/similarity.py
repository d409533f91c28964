"""Picture and text of a dialogue as one vector of an encoder with a text tower."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofglass.interfaces import Encoder

if TYPE_CHECKING:
    import torch


def of_text(encoder: Encoder, text: str) -> torch.Tensor:
    """Features [1, d] of `text`, or of as many of its first words as the encoder reads; zeros for a text without words.

    Raises ValueError for a text of which it reads not even the first word."""
    import torch

    words = text.split()
    if not words:
        return torch.zeros_like(encoder.text_features(["a"]))
    few, many = 0, len(words)  # it reads `few` words; whether it reads more is not known
    found: torch.Tensor | None = None
    while few < many:
        tried = many if found is None and few == 0 and many == len(words) else (few + many + 1) // 2
        try:
            found, few = encoder.text_features([" ".join(words[:tried])]), tried
        except ValueError:
            if tried == 1:
                raise
            many = tried - 1
    assert found is not None
    return found


def joint(picture: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """[B, d + e] of length one: both parts side by side, normalised together, so that the longer part weighs more."""
    import torch

    both = torch.cat([picture, text.to(picture).expand(len(picture), -1)], 1)
    return torch.nn.functional.normalize(both, dim=1)


def cosine(picture: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """[B] cosines of picture features [B, d] with a text's [1, d]."""
    import torch

    return torch.nn.functional.cosine_similarity(picture, text.to(picture), dim=1)
