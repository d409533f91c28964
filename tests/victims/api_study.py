"""A study of one cell that asks an API about pictures: run as a program, so that it can be killed.

python tests/victims/api_study.py BASE_URL FOLDER SAMPLES
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import proofglass as pg
from proofglass.interfaces import Dataset
from proofglass.types import Chat, Image, Sample, Settings
from proofglass.victims.inspect import ApiVictim

CONNECTIONS = 50


@dataclass(frozen=True)
class NoisePictures(Dataset):
    """`n` small pictures of noise, each with a harmless question."""

    n: int = 300
    side: int = 24
    name = "pictures"
    licence = "made here"

    def __iter__(self) -> Iterator[Sample]:
        for k in range(self.n):
            pixels = np.random.default_rng(k).integers(0, 256, (self.side, self.side, 3), dtype=np.uint8)
            chat = Chat.user(Image.from_array(pixels), f"What is in picture {k}?").with_system("Be brief.")
            yield Sample(f"p{k}", "pictures", chat, expected="describe")


def victim(base_url: str, **changes: Any) -> ApiVictim:
    values = {
        "connections": CONNECTIONS,
        "attempts": 8,
        "timeout_s": 3.0,
        "backoff_s": 0.2,
        "provider": "openai-compatible",
    }
    return ApiVictim(**{"model": "m", "base_url": base_url, **values, **changes})


def run(base_url: str, folder: str, n: int, **changes: Any) -> Any:
    """The rates of the cell."""
    asked = victim(base_url, **changes)
    settings, judges = Settings(16), ("not-refused",)
    return pg.measure(asked, "no-attack", NoisePictures(n), judges=judges, settings=settings, chunk=250, out=folder)


if __name__ == "__main__":
    url, out, count = sys.argv[1:]
    run(url, out, int(count))
