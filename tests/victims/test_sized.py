"""Pictures at a model's size: kept for the next use, bounded, and the same whoever made them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from proofglass.registry import build
from proofglass.types import Ask, Chat, Image, Settings
from proofglass.victims.hf import sized
from proofglass.victims.hf.sized import Sized


def picture(seed: int, side: int = 40) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def test_the_least_recently_used_goes_first_and_what_is_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sized, "MOST", 100)
    monkeypatch.setattr(sized, "LARGEST", 60)
    held, (a, b, c, d) = Sized(), [picture(seed) for seed in range(4)]
    held.put(a, torch.zeros(40, dtype=torch.uint8))
    held.put(b, torch.zeros(50, dtype=torch.uint8))
    assert held.get(a) is not None  # used after b
    held.put(c, torch.zeros(60, dtype=torch.uint8))  # 150 bytes: b goes
    held.put(d, torch.zeros(61, dtype=torch.uint8))
    assert [held.get(each) is None for each in (a, b, c, d)] == [False, True, False, True]
    held.put(a, torch.zeros(60, dtype=torch.uint8))  # there already: not counted twice
    held.put(b, torch.zeros(0, dtype=torch.uint8))
    assert held.get(c) is not None


class Once(Image):
    """Counts how often it is decoded."""

    __slots__ = ("times",)

    def array(self) -> np.ndarray:
        self.times += 1
        return self._read()


def once(image: Image) -> Once:
    found = Once(image.sha256, image.width, image.height, image.array)
    found.times = 0
    return found


def test_a_picture_that_was_looked_at_ahead_is_not_decoded_again() -> None:
    victim, image = build("victims", "testbed-linear"), once(picture(5, 300))
    victim.look_ahead(image)
    assert image.times == 0  # never loads a model
    ask = Ask(Chat.user(image, "what is it ?"), Settings(max_new_tokens=4))
    (first,) = victim.reply([ask])
    assert (first.outcome, image.times) == ("ok", 1)
    other = once(picture(6, 300))
    victim.look_ahead(other)
    assert (victim.reply([Ask(Chat.user(other, "what is it ?"))])[0].outcome, other.times) == ("ok", 1)
    assert torch.equal(victim.pixels(other), build("victims", "testbed-linear").pixels(picture(6, 300)))


def test_a_defense_passes_the_look_on() -> None:
    victim, image = build("victims", "testbed-linear"), once(picture(7, 300))
    victim.reply([Ask(Chat.user("hello"), Settings(max_new_tokens=1))])
    build("defenses", "self-moderation")(victim).look_ahead(image)
    assert image.times == 1
