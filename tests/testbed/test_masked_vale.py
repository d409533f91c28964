"""The masked language model of the Vale: it trains, it is a folder that t-pgd reads, and it has seen nothing judged."""

from __future__ import annotations

import importlib.util
import random
import warnings
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

from attacker_models import Says, Yes, run, sample
from proofglass.attacks.text.t_pgd import TPGD
from proofglass.registry import build
from proofglass.types.tries import Tries


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / "masked_vale.py"
    spec = importlib.util.spec_from_file_location("masked_vale", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_steps_make_a_folder_that_the_attack_reads(script: ModuleType, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two steps are fewer than its schedule warms up
        script.main(tmp_path / "masked", 4)
    victim = Says(lambda ask, k: "no")
    attack = TPGD(tmp_path / "masked", judge=Yes(), segments=1, steps=2)
    _, reply, end = run(attack, victim, sample("how do i mend a silver kite ?"))
    assert not end.failure
    assert Tries.read(reply.reason) == Tries(len(victim.asked))
    assert not any("<" in ask.chat.last_text for ask in victim.asked)


def test_none_of_its_texts_is_judged(script: ModuleType) -> None:
    seen = set(islice(script.texts(random.Random(0)), 3000))
    assert not seen & {one.chat.last_text for one in build("datasets", "testbed", n=100)}
