"""Asking and judging while crafting: each sample under its picture, with its settings, its verdict and its cost."""

from __future__ import annotations

import numpy as np
import pytest

from proofglass.attacks.crafting.said import Said
from proofglass.interfaces import Victim
from proofglass.registry import build
from proofglass.types import Chat, Cost, Image, Reply, Sample, Settings


class Echo(Victim):
    """Says its text and the first grey level of its picture; notes the settings."""

    name = "echo"

    def __init__(self):
        self.heard = []

    def reply(self, asks):
        self.heard = [ask.settings for ask in asks]
        return [
            Reply(f"{ask.chat.last_text} {ask.chat.images[0].array()[0, 0, 0]}", cost=Cost(forward=1, queries=1))
            for ask in asks
        ]


def pictures(*greys):
    return [Image.from_array(np.full((2, 2, 3), grey, np.uint8)) for grey in greys]


SAMPLES = [Sample("a", "toy", Chat.user("kite"), target="kite 7"), Sample("b", "toy", Chat.user("drum"), target="no")]


def test_each_verdict_is_of_its_own_sample_and_picture_and_a_reply_costs_a_query():
    found = Said(Echo(), build("judges", "target-string"))(SAMPLES, pictures(7, 8), Settings(5))
    assert [verdict.value for verdict, _ in found] == [1, 0]
    assert [cost for _, cost in found] == [Cost(queries=1)] * 2  # its forward pass is not counted again


def test_settings_are_one_for_all_or_one_for_each():
    victim = Echo()
    said = Said(victim, build("judges", "target-string"))
    said(SAMPLES, pictures(7, 8), Settings(5))
    assert victim.heard == [Settings(5)] * 2
    said(SAMPLES, pictures(7, 8), [Settings(5), Settings(6)])
    assert victim.heard == [Settings(5), Settings(6)]
    with pytest.raises(ValueError):
        said(SAMPLES, pictures(7), Settings(5))
