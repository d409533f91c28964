"""A user's own `nn.Module`, tiny and random: what `OwnModule` is tested on."""

from __future__ import annotations

import torch


class Toy(torch.nn.Module):
    """Bytes as tokens; one hidden state per token, which sums up what came before it and the picture."""

    size, end = (12, 8), 0

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        shapes = {"tower": (24, 16), "words": (256, 16), "head": (16, 256)}
        for name, shape in shapes.items():
            self.register_parameter(name, torch.nn.Parameter(torch.randn(shape, generator=draw)))

    def see(self, pixels):
        patches = torch.nn.functional.unfold((pixels - 0.5) / 0.25, (4, 2), stride=(4, 2)).mT  # [N, 12, 24]
        return torch.tanh(patches @ self.tower)

    def forward(self, ids, features):
        state = self.words[ids].cumsum(1) / 4
        if features is not None:
            state = state + features.mean(1, keepdim=True) * 4
        return torch.sin(state) @ self.head

    def tokens(self, text):
        return list(text.encode())

    def text(self, ids):
        return bytes(ids).decode(errors="replace")


class Open(Toy):
    """Embeddings by a module of their own, which opens them."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(256, 16)
        self.embedding.weight.data = self.words.data.clone()

    def forward(self, ids, features):
        state = self.embedding(ids).cumsum(1) / 4
        if features is not None:
            state = state + features.mean(1, keepdim=True) * 4
        return torch.sin(state) @ self.head
