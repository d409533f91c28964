"""Carlini 2023 through its registered class: step, stop and distance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from proofglass.engine import Box, Differentiable, Schedule, minimise
from proofglass.engine.steps import Iterate
from proofglass.registry import build as plug
from proofglass.types import Budget, Chat, Cost, Image, Reply, Sample
from proofglass.victims.llava import Llava
from tiny_models import SIDE, build


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


@dataclasses.dataclass(frozen=True)
class Parrot(Llava):
    """The same white box, whose reply holds the target from look number `after` on. Notes what it was asked."""

    after: int = 0
    asked: list = dataclasses.field(default_factory=list)

    def reply(self, asks):
        self.asked.append(asks)
        said = "Well, SURE , here it is" if len(self.asked) > self.after else "sure . here"
        return [Reply(said, cost=Cost(forward=1, queries=1, tokens_out=5)) for _ in asks]

    @property
    def key(self):
        return "parrot"


def picture(seed):
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def samples(n=3):
    return [
        Sample(f"s{k}", "toy", Chat.user(picture(k), f"mend a kite {k}"), target="sure , here is how") for k in range(n)
    ]


def length(artefact):
    moved = artefact.images[0].array().astype(float) - artefact.clean.array()
    return np.linalg.norm(moved) / 255


def test_a_step_has_length_a_fifth_whatever_the_gradients_scale():  # G11: g = 7 (3, 4) / 5 at (.5, .5)
    x = torch.tensor([0.5, 0.5]).reshape(1, 1, 1, 2)
    at = Iterate(x, x, torch.zeros(1), torch.tensor([4.2, 5.6]).reshape(1, 1, 1, 2), Box("clean"), 0, 1)
    moved, _ = plug("attacks", "carlini2023").rule()(at, {})
    torch.testing.assert_close(moved.flatten(), torch.tensor([0.38, 0.34]), atol=1e-6, rtol=0)
    moved, _ = plug("attacks", "carlini2023", norm="linf").rule()(at, {})
    torch.testing.assert_close(moved.flatten(), torch.tensor([0.3, 0.3]), atol=1e-6, rtol=0)


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_i_steps_lead_no_further_than_i_fifths(seed, steps):
    goal, x0 = torch.rand(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    far = Differentiable(lambda x, rows: ((x - goal) ** 4).flatten(1).sum(1), 1)
    rule = plug("attacks", "carlini2023").rule()
    found = minimise(far, x0, constraint=Box("clean"), step=rule, schedule=Schedule(steps))
    assert float((found.x - x0).norm()) <= 0.2 * steps + 1e-5


@pytest.mark.parametrize("init", ["uniform", "clean"])
def test_a_picture_per_sample_whose_summed_loss_fell(victim, init):
    todo = samples()
    before = [s.chat.images[0].array().copy() for s in todo]
    made = list(plug("attacks", "carlini2023", steps=6, init=init).craft(victim, todo, seed=2))
    assert [a.sample_id for a in made] == ["s0", "s1", "s2"]
    for sample, artefact, pixels in zip(todo, made, before, strict=True):
        assert artefact.trace["loss_before_rounding"] < artefact.trace["loss"][0]
        assert artefact.trace["distance"] == pytest.approx(length(artefact), abs=1e-9)
        # Rounding moves a value that rounds away from its grey level by at most as much again.
        assert artefact.trace["distance"] <= 2 * 0.2 * 6
        assert (artefact.clean == sample.chat.images[0]) == (init == "clean")
        assert (sample.chat.images[0].array() == pixels).all()
        chat = plug("attacks", "carlini2023").apply(artefact, sample)
        assert chat.images == artefact.images
        assert chat.last_text == sample.chat.last_text
    # The sum over the three words' tokens, not their mean: byte tokens make it large.
    (pairs,) = [[(todo[0].chat.with_image(made[0].clean), "sure , here")]]
    start = victim.loss_and_grad(
        victim.pixels(made[0].clean), victim.prepare([pairs]), weighting="sum", need_grad=False
    )
    assert made[0].trace["loss"][0] == pytest.approx(float(start.loss), abs=1e-4)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_batch_of_three_equals_its_single_runs(victim, norm):
    attack = plug("attacks", "carlini2023", steps=5, norm=norm, step_size=0.2 if norm == "l2" else 4 / 255)
    for sample, whole in zip(samples(), attack.craft(victim, samples(), seed=2), strict=True):
        (alone,) = attack.craft(victim, [sample], seed=2)
        assert alone.clean == whole.clean
        assert alone.trace["loss"] == pytest.approx(whole.trace["loss"], rel=1e-3)
        assert (alone.images[0].array() == whole.images[0].array()).mean() > 0.99


def test_the_first_picture_is_noise_of_the_samples_own_seed(victim):
    attack = plug("attacks", "carlini2023", steps=0)
    one, other = attack.craft(victim, samples(2), seed=5)
    (again,) = attack.craft(victim, samples(1), seed=5)
    (differs,) = attack.craft(victim, samples(1), seed=6)
    assert one.clean == again.clean
    assert len({one.clean, other.clean, differs.clean}) == 3
    assert 110 < one.clean.array().mean() < 145
    assert one.clean.array().std() > 60  # uniform over 0..255: 73.6


def test_it_stops_at_the_first_reply_that_holds_the_target(victim):
    parrot = Parrot(victim.path, device="cpu", after=3)
    (artefact,) = plug("attacks", "carlini2023", steps=20).craft(parrot, samples(1), seed=2)
    assert artefact.trace["succeeded"] is True
    assert artefact.trace["steps"] == 3  # looks at the start and after steps 1 and 2 in vain, then at step 3
    assert artefact.cost.queries == 4
    assert artefact.cost.backward == 3
    (ask,) = parrot.asked[-1]
    assert ask.chat.images == artefact.images  # what was judged is what is handed over
    assert ask.settings.temperature == 0
    assert ask.settings.max_new_tokens == len("sure , here") + 16  # one token per byte in this tokenizer


def test_check_every_and_a_budget_count_the_looks(victim):
    parrot = Parrot(victim.path, device="cpu", after=99)
    (artefact,) = plug("attacks", "carlini2023", steps=4, check_every=2).craft(parrot, samples(1), seed=2)
    assert artefact.trace["succeeded"] is False
    assert artefact.cost.queries == 3  # steps 0, 2 and the last iterate
    assert artefact.cost.tokens_out == 15
    assert artefact.cost.forward == 4  # of the steps: a reply's own forward pass is its query
    (short,) = plug("attacks", "carlini2023", steps=50).craft(parrot, samples(1), seed=2, budget=Budget(13))
    assert short.trace["steps"] == 3  # each step costs a look and 1 + 2 passes; a fourth would pass 13
    assert "budget" in short.trace["stopped"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "sure , here"),
        ({"words": 1}, "sure"),
        ({"words": None}, "sure , here is how"),
        ({"target": "ring it"}, "ring it"),
    ],
)
def test_the_text_to_say_is_the_beginning_of_the_target_or_one_for_all(victim, fields, said):
    parrot = Parrot(victim.path, device="cpu", after=99)
    list(plug("attacks", "carlini2023", steps=0, **fields).craft(parrot, samples(1), seed=2))
    assert parrot.asked[0][0].settings.max_new_tokens == len(said) + 16


def test_a_sample_without_a_target_is_named(victim):
    with pytest.raises(ValueError, match=r"'bare'.*target"):
        list(plug("attacks", "carlini2023").craft(victim, [Sample("bare", "toy", Chat.user("hi"))], seed=0))


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"step_size": 0}, "step_size"),
        ({"norm": "linf", "step_size": 2.0}, "step_size.*2/255"),
        ({"norm": "l1"}, "norm"),
        ({"init": "grey"}, "init"),
        ({"words": 0}, "words"),
        ({"check_every": 0}, "check_every"),
        ({"steps": -1}, "steps"),
        ({"batch": 0}, "batch"),
    ],
)
def test_bad_parameters_name_the_field(bad, field):
    with pytest.raises(ValueError, match=field):
        plug("attacks", "carlini2023", **bad)
