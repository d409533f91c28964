"""A victim small enough to play the game of CroPA by hand."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from proofglass.interfaces import LossAndGrad, WhiteBoxVictim
from proofglass.registry import build as plug
from proofglass.types import Reply
from scripted_victims import asked, grey

PROMPTS = tuple(f"look {k} ?" for k in range(10))


@dataclass(frozen=True)
class Places:
    """Prepared pairs that remember the number of each prompt; every prompt has two text tokens."""

    names: tuple

    @property
    def text_tokens(self):
        return tuple(tuple(2 for _ in row) for row in self.names)

    def rows(self, picks):
        return Places(tuple(self.names[b] for b in picks))

    def select(self, picks):
        return Places(tuple(tuple(row[p] for p in some) for row, some in zip(self.names, picks, strict=True)))


@dataclass
class Toy(WhiteBoxVictim):
    """J = 1/2 (x + b t - aim)^2 with x the picture's first value and t the two text embeddings of width 1, b = (-1, 1).

    G18's toy: its b = (1, -1, 1, 2) has the picture's place and the target's outside, where nothing may move.
    """

    image_size = (2, 2)
    embedding_width = 1
    name = key = "toy"
    said: str = "clean answer"
    aim: float = 1.0
    seen: list = dataclasses.field(default_factory=list)

    def pixels(self, image):
        return torch.from_numpy(image.array().copy()).permute(2, 0, 1)[None].float() / 255

    def prepare(self, pairs, *, append_eos=False):
        assert append_eos
        return Places(tuple(tuple((chat.last_text, target) for chat, target in row) for row in pairs))

    def reply(self, asks):
        return [Reply(self.said) for _ in asks]

    def loss_and_grad(self, pixels, prepared, *, weighting="token", need_grad=True, text=None):
        assert float(pixels.min()) >= 0
        assert float(pixels.max()) <= 1
        b = torch.tensor([-1.0, 1.0])
        rest = torch.zeros(len(pixels))
        if text is not None:
            rest = torch.stack([(b * row[0][:, 0]).sum() for row in text])
        if need_grad:
            self.seen.append((prepared.names, None if text is None else [row[0].clone() for row in text]))
        residual = pixels[:, 0, 0, 0] + rest - self.aim
        grad = torch.zeros_like(pixels)
        grad[:, 0, 0, 0] = residual
        moved = None if text is None else tuple(((r * b)[:, None],) for r in residual)
        return LossAndGrad(residual[:, None] ** 2 / 2, residual**2 / 2, grad, moved)


def game(victim, count=1, **fields):
    attack = plug("attacks", "cropa", prompts=PROMPTS, **fields)
    part = asked(count, grey(102))  # 102/255 = .4
    return attack.objective(victim, part, [s.chat.images[0] for s in part], [["no"] * 10] * count, list(range(count)))
