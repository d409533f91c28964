"""Qi 2023 and PGD through their registered classes, on a tiny random LLaVA."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from proofglass.engine import TargetNLL, quantise
from proofglass.errors import UsageError
from proofglass.interfaces import Defended, Victim
from proofglass.registry import build as plug
from proofglass.types import Chat, Image, Sample
from proofglass.victims.llava import Llava
from scripted_victims import Scripted, asked, grey
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


@pytest.mark.parametrize(
    "name",
    ["carlini2023", "qi2023", "cropa", "bagdasaryan2023", "schlarmann2023", "bailey2023", "fu2023", "pgd", "apgd"],
)
def test_a_victim_without_gradients_is_refused_with_what_to_do(name, victim):
    class Closed(Victim):
        name = key = "closed"

        def reply(self, asks):
            raise AssertionError("asked")

    for shut in (Closed(), Defended(victim, plug("defenses", "system-prompt"))):
        with pytest.raises(
            UsageError, match=rf"{name}: needs gradients.*{shut.name} gives replies only.*choose a white"
        ):
            list(plug("attacks", name).craft(shut, samples(2), seed=0))


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


SLOPES = torch.tensor([1.0, -1.0, 2.0, -0.5]).reshape(1, 1, 2, 2).expand(1, 3, 2, 2)  # G15: J = c . x


@dataclass
class Sloping(Scripted):
    """J = c . x whatever the targets; notes which ones each step was given."""

    given: list = field(default_factory=list)

    def loss_and_grad(self, pixels, prepared, *, weighting="token", need_grad=True, text=None):
        assert weighting == "token"
        self.given.append(prepared.names[0])
        return super().loss_and_grad(pixels, prepared, need_grad=need_grad)


def sloping():
    return Sloping(lambda x, names: (SLOPES * x).flatten(1).sum(1))


@pytest.mark.parametrize("steps", [1, 7, 130])  # theirs: one update more, and a snapshot of step 100
def test_g15_qi2023_makes_so_many_steps_without_a_bound_and_returns_the_last(steps):
    victim = sloping()
    (found,) = plug("attacks", "qi2023", epsilon=None, steps=steps).craft(victim, asked(3), seed=0)
    start = victim.seen[0][0]
    assert sum(need_grad for _, need_grad in victim.seen) == steps
    for i, (x, _) in enumerate(victim.seen[: steps + 1]):
        torch.testing.assert_close(x, (start - i / 255 * SLOPES.sign()).clamp(0, 1), atol=2e-5, rtol=0)
    assert found.images[0] == quantise(victim.seen[steps][0])[0]


def test_g15_qi2023_is_in_the_corner_of_its_ball_after_thirty_two_steps():
    victim = sloping()
    (found,) = plug("attacks", "qi2023", epsilon=16 / 255, steps=32).craft(victim, asked(3), seed=3)
    wanted = 128 - 16 * SLOPES.sign()[0].permute(1, 2, 0).int().numpy()
    assert (found.images[0].array() == wanted).all()


def test_g15_qi2023_gives_every_step_eight_of_the_targets_of_its_corpus():
    victim, corpus = sloping(), tuple(f"t {k}" for k in range(66))
    list(plug("attacks", "qi2023", epsilon=None, steps=400, targets=corpus).craft(victim, [], seed=5))
    drawn = [names for names, (_, need_grad) in zip(victim.given, victim.seen, strict=True) if need_grad]
    assert all(len(set(names)) == len(names) == 8 for names in drawn)
    counts = Counter(name for names in drawn for name in names)
    assert set(counts) == set(corpus)
    assert max(abs(n / 400 - 8 / 66) for n in counts.values()) < 0.08  # 5 standard deviations of a rate


def test_a_victim_that_takes_text_only_is_refused():
    class TextOnly(Scripted):
        name = "text-only"
        sees_images = False

    for name in ("pgd", "square", "qi2023", "schlarmann2023", "bagdasaryan2023", "cropa"):
        todo = [Sample("a", "toy", Chat.user("hi"), target="t", references=("r",))]
        with pytest.raises(UsageError, match="text-only: takes text only"):
            list(plug("attacks", name).craft(TextOnly(lambda x, names: x.flatten(1).sum(1)), todo, seed=0))


@pytest.mark.parametrize("name", ["pgd", "apgd", "square", "black-box-pgd", "bagdasaryan2023"])
def test_a_sample_without_a_target_is_named_before_any_is_paid_for(name):
    victim = Scripted(lambda x, names: x.flatten(1).sum(1))
    with pytest.raises(ValueError, match=r"'last'.*target"):
        list(plug("attacks", name, batch=1).craft(victim, [*asked(2), Sample("last", "toy", Chat.user("hi"))], seed=0))
    assert not victim.seen


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
        ("qi2023", {"context": "samples"}, "context: expected empty or sample"),
        ("qi2023", {"weighting": "mean"}, "weighting: expected token, pair or sum"),
        ("qi2023", {"step_size": 1.5}, "step_size.*1.5/255"),
        ("qi2023", {"targets": "one text"}, "targets: expected a list of texts"),
        ("qi2023", {"targets": ("a", " ")}, "targets: expected no empty text"),
        ("cropa", {"prompts": "one text"}, "prompts: expected a list of texts"),
        ("bagdasaryan2023", {"turns": "one text", "target": "x"}, "turns: expected a list of texts"),
        ("schlarmann2023", {"decoys": "maybe"}, "decoys: expected a list of texts"),
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


@pytest.mark.parametrize("name", ["pgd", "apgd"])
@pytest.mark.parametrize(("epsilon", "side"), [(0.5, 84), (1.0, 224), (0.1, 336)])
def test_an_l2_attack_saves_a_picture_inside_its_radius_that_is_not_the_clean_one(name, epsilon, side):
    # Rounded to the nearest levels these were 0.526, 1.091 and 0: outside, outside, and no attack at all.
    slopes = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    victim = Scripted(lambda x, names: (slopes * x).flatten(1).sum(1), image_size=(side, side))
    attack = plug("attacks", name, norm="l2", epsilon=epsilon, steps=3)
    (found,) = attack.craft(victim, asked(1, grey(side=side)), seed=0)
    moved = found.images[0].array().astype(float) - found.clean.array()
    assert 0.97 * epsilon < np.linalg.norm(moved) / 255 <= epsilon * (1 + 1e-9)
    assert found.trace["l2"] == pytest.approx(np.linalg.norm(moved) / 255)


@pytest.mark.parametrize("name", ["pgd", "apgd", "square", "black-box-pgd", "qi2023"])
@pytest.mark.parametrize(("epsilon", "levels"), [(0.03, 7), (2.5 / 255, 2), (8 / 255, 8)])
def test_an_epsilon_between_two_levels_is_kept_on_disk(name, epsilon, levels):  # nearest: 8, 3, 8
    fields = {"black-box-pgd": {"draws": 4, "rule": "sign"}}.get(name, {})
    attack = plug("attacks", name, epsilon=epsilon, steps=12, **fields)
    (found,) = attack.craft(sloping(), asked(1), seed=0)
    assert distance(found.images[0], found.clean) == found.trace["linf_levels"] == levels
