"""Dialogues, pictures and a random defense for the tests of models seen through defenses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from proofglass import Lens, Opened
from proofglass.defenses.inference.system_prompt import SystemPrompt
from proofglass.interfaces import Defense, WhiteBoxVictim
from proofglass.types import Chat, Image

PICTURE = Image.from_array(np.random.default_rng(0).integers(0, 256, (12, 8, 3), np.uint8))
CHAT = Chat.user(PICTURE, "what is it?")
PAIRS = [[(CHAT, "a cat"), (CHAT.ask("no, what?"), "a red kite")], [(Chat.user(PICTURE, "why?"), "so")]]
SYSTEM = SystemPrompt("be careful")


def some_pixels(rows: int = 2, seed: int = 3) -> torch.Tensor:
    return 0.1 + 0.8 * torch.rand(rows, 3, 12, 8, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Dimmed(Defense):
    """Multiplies each picture by a random number of its own."""

    name = "dimmed"
    least: float = 0.5

    def dim(self, x: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        return x * (self.least + (1 - self.least) * torch.rand((), generator=draws))

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, Lens(pixels=self.dim, draws=3))
