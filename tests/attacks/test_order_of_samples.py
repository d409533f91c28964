"""Attacks that draw from the crafting samples draw by their ids: whatever their order, the picture is the same."""

from __future__ import annotations

import numpy as np
import pytest

from proofglass.registry import build as plug
from proofglass.types import Chat, Image, Sample
from proofglass.victims.llava import Llava
from tiny_models import SIDE, build

CASES = {
    "qi2023": {"steps": 6, "targets_per_step": 2},
    "qi2023, sample": {"steps": 6, "targets_per_step": 2, "context": "sample"},
    "bailey2023": {"steps": 4, "validation": 2, "validate_every": 2, "optimiser": "sign"},
    "bailey2023, last": {"steps": 4, "select": "last", "optimiser": "sign"},
    "fu2023": {"steps": 5, "answer_tokens": 3, "optimizer": "adam", "related": ("what is in the picture ?",)},
    "bagdasaryan2023": {"epochs": 1, "scope": "universal"},
}


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


def sample(k):
    image = Image.from_array(np.random.default_rng(k).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    return Sample(f"s{k}", "toy", Chat.user(image, f"mend kite {k}"), split="craft", target=f"sure {k}")


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_the_crafting_samples_changes_nothing(case, victim):
    attack = plug("attacks", case.partition(",")[0], **CASES[case])
    todo = [sample(k) for k in range(7)]
    (one,) = attack.craft(victim, todo, seed=5)
    (other,) = attack.craft(victim, [todo[k] for k in (3, 0, 6, 2, 5, 1, 4)], seed=5)
    assert one.images == other.images
    assert one.clean == other.clean == todo[0].chat.images[0]
    assert one.images[0] != one.clean
