"""Qi 2023 and PGD through their registered classes, on a tiny random LLaVA."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from proofglass.engine import TargetNLL
from proofglass.registry import build as plug
from proofglass.types import Chat, Image, Sample
from proofglass.victims.llava import Llava
from tiny_models import SIDE, build


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


def picture(seed):
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def samples(n=12, with_image=True):
    return [
        Sample(
            f"s{k}",
            "toy",
            Chat.user(picture(k), f"please make a kite {k}") if with_image else Chat.user(f"make a kite {k}"),
            target=f"sure , kite {k}",
        )
        for k in range(n)
    ]


def distance(a, b):
    return int(np.abs(a.array().astype(int) - b.array().astype(int)).max())


def test_qi2023_makes_one_picture_inside_the_ball_whose_loss_fell(victim):
    attack = plug("attacks", "qi2023", epsilon=16 / 255, steps=12)
    (artefact,) = attack.craft(victim, samples(), seed=1)
    assert artefact.sample_id is None
    assert artefact.crafted_on == victim.key
    assert distance(artefact.images[0], artefact.clean) <= 16
    assert artefact.trace["loss_before_rounding"] < artefact.trace["loss"][0]
    assert artefact.cost.backward == 12 * 8
    chat = attack.apply(artefact, samples()[3])
    assert chat.images == artefact.images
    assert chat.last_text == samples()[3].chat.last_text


def test_qi2023_unbounded_knows_no_clean_picture(victim):
    attack = plug("attacks", "qi2023", epsilon=None, steps=3)
    (artefact,) = attack.craft(victim, samples(), seed=1)
    assert artefact.clean is None


def test_qi2023_is_the_same_for_the_same_seed_and_another_for_another(victim):
    attack = plug("attacks", "qi2023", steps=4)
    first, again, other = (next(attack.craft(victim, samples(), seed=s)).images[0] for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_qi2023_draws_every_target_equally_often_and_never_twice_in_a_batch(victim):  # G15: 8 of 66
    pairs = [(Chat.user(picture(0), ""), f"t {k}") for k in range(66)]
    objective = TargetNLL(victim, [pairs], per_step=8, seed=5)
    counts = Counter()
    for step in range(3000):
        (batch,) = objective.draw(step)
        assert len(set(batch)) == 8
        counts.update(batch)
    rates = np.array([counts[k] / 3000 for k in range(66)])
    assert abs(rates - 8 / 66).max() < 0.03  # 0.1212 +- 5 standard deviations of a rate over 3000 steps


def test_qi2023_teaches_under_an_empty_prompt_as_the_paper_does(victim):
    attack = plug("attacks", "qi2023")
    (chat, target), *_ = attack._pairs(samples(), picture(0))
    assert chat.last_text == ""
    assert target == "sure , kite 0"
    own = plug("attacks", "qi2023", context="sample")._pairs(samples(), picture(0))
    assert own[0][0].last_text == "please make a kite 0"


def test_qi2023_without_targets_says_what_to_give(victim):
    blank = [Sample("a", "toy", Chat.user("hi"))]
    with pytest.raises(ValueError, match="targets"):
        list(plug("attacks", "qi2023", steps=1).craft(victim, blank, seed=0))


@pytest.mark.parametrize(
    ("name", "bad", "field"),
    [
        ("qi2023", {"epsilon": 16}, "epsilon.*16/255"),
        ("qi2023", {"steps": -1}, "steps"),
        ("qi2023", {"targets_per_step": 0}, "targets_per_step"),
        ("qi2023", {"context": "sample", "targets": ("x",)}, "targets"),
        ("pgd", {"epsilon": 8}, "epsilon.*8/255"),
        ("pgd", {"batch": 0}, "batch"),
    ],
)
def test_bad_parameters_name_the_field(name, bad, field):
    with pytest.raises(ValueError, match=field):
        plug("attacks", name, **bad)


def test_pgd_makes_a_picture_per_sample_and_a_batch_equals_its_single_runs(victim):
    attack = plug("attacks", "pgd", steps=5, batch=8, init="clean")
    todo = samples(3)
    whole = list(attack.craft(victim, todo, seed=2))
    assert [a.sample_id for a in whole] == [s.id for s in todo]
    for sample, artefact in zip(todo, whole, strict=True):
        assert distance(artefact.images[0], sample.chat.images[0]) <= 16
        alone = next(attack.craft(victim, [sample], seed=2))
        # sign steps on float noise may differ in a few pixels; the pictures are the same attack
        same = (alone.images[0].array() == artefact.images[0].array()).mean()
        assert same > 0.99


def test_samples_without_a_picture_start_from_grey(victim):
    (artefact, *_) = plug("attacks", "pgd", steps=1, epsilon=4 / 255).craft(victim, samples(1, False), seed=0)
    assert set(np.unique(artefact.clean.array())) == {128}
