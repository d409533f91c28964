"""Tu 2023 through its registered class, with the text tower of the testbed's encoder."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.attacks.image.tu2023 import Noisy
from proofglass.errors import ZeroGradient
from proofglass.flow import drive
from proofglass.interfaces import Victim
from proofglass.registry import build as plug
from proofglass.types import Ask, Chat, Cost, Image, Reply, Sample, Settings
from proofglass.victims.llava import Llava
from tiny_models import SIDE, build

WORDS = ("golden kite", "silver drum", "old broom")
cosines = st.lists(st.floats(-1, 1), min_size=3, max_size=3)


def attack(**parameters):
    return plug("attacks", "tu2023", **{"words": WORDS, **parameters})


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


def picture(seed):
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def samples(n=3):
    return [Sample(f"s{k}", "toy", Chat.user(picture(k), "what is it ?").with_system("be brief")) for k in range(n)]


def cosines_of(image):
    encoder = plug("models", "testbed-clip")
    x = torch.from_numpy(image.array().copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        seen, words = encoder.features(x), encoder.text_features(WORDS)
    return torch.nn.functional.cosine_similarity(seen, words)


def test_the_released_loss_is_a_softmax_of_a_softmax():  # G16
    s = torch.tensor([[0.20, 0.25, 0.15]], dtype=torch.float64, requires_grad=True)
    loss = attack(variant="mix").loss(s)
    loss.sum().backward()
    torch.testing.assert_close(loss, torch.tensor([1.0819063], dtype=torch.float64), atol=1e-6, rtol=0)
    expected = torch.tensor([[0.116511, -0.225638, 0.109128]], dtype=torch.float64)
    torch.testing.assert_close(s.grad, expected, atol=1e-6, rtol=0)


@given(cosines)
def test_the_released_loss_hardly_moves(s):
    # p_1 = 1: -1 + ln(e + 2); p_1 = 0 and another 1: ln(e + 2). Nothing in between can leave these.
    value = attack(variant="mix").loss(torch.tensor([s])).item()
    assert 0.5514447 <= value <= 1.5514448


@given(cosines)
def test_three_equal_words_make_a_constant(s):
    assert attack(variant="sin_faithful").loss(torch.tensor([s])).item() == pytest.approx(math.log(3), abs=1e-12)


@given(cosines)
def test_sin_is_the_negative_cosine_and_temperature_one_softmax_of_scaled_cosines(s):
    row = torch.tensor([s], dtype=torch.float64)
    assert attack(variant="sin").loss(row).item() == -s[0]
    scaled = np.exp(np.array(s) * 5 - 5 * max(s))
    value = attack(variant="temperature", temperature=5.0).loss(row).item()
    assert value == pytest.approx(-math.log(scaled[1] / scaled.sum()), abs=1e-9)


def test_the_released_single_word_attack_raises_with_its_reason(victim):
    with pytest.raises(ZeroGradient, match=r"ln 3 whatever the picture shows; 'sin' does what was meant.*zero at the"):
        list(attack(variant="sin_faithful", steps=5).craft(victim, samples(1), seed=0))


@pytest.mark.parametrize(("variant", "word"), [("mix", 1), ("temperature", 1), ("sin", 0)])
def test_each_variant_draws_the_picture_to_its_word_inside_the_ball(victim, variant, word):
    (artefact,) = attack(variant=variant, steps=30, epsilon=32 / 255).craft(victim, samples(1), seed=1)
    before, after = cosines_of(artefact.clean), cosines_of(artefact.images[0])
    others = [k for k in range(3) if k != word]
    # the lead, for one softmax at temperature 100 is flat (and the search over) once its word leads by a tenth
    lead_before, lead = (float(s[word] - s[others].max()) for s in (before, after))
    assert lead > max(lead_before, 0) + 0.1
    assert artefact.trace["loss_after_rounding"] < artefact.trace["loss"][0]
    moved = np.abs(artefact.images[0].array().astype(int) - artefact.clean.array())
    assert moved.max() <= 32


def test_the_objective_falls_where_its_gradient_says(victim):
    # central difference along the gradient, in float64 losses of a float32 tower
    for variant in ("mix", "sin"):
        objective = attack(variant=variant).objective(plug("models", "testbed-clip"), 1)
        x = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(3)) * 0.8 + 0.1
        grad = objective(x, 0).grad
        way = grad / grad.norm()
        step = 0.02
        up, down = (objective.value(x + sign * step * way).loss.item() for sign in (1, -1))
        assert (up - down) / (2 * step) == pytest.approx(grad.norm().item(), rel=0.05)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.floats(1 / 255, 1))
def test_the_first_picture_lies_inside_the_ball_and_the_box(seed, epsilon):
    stream = torch.Generator().manual_seed(seed)
    clean, noise = torch.rand(1, 3, 8, 8, generator=stream), torch.rand(1, 3, 8, 8, generator=stream)
    noise[0, 0, 0, 0] = 0.0  # minus infinity, as normal noise goes
    begun = Noisy(epsilon).begin(clean, noise)
    assert torch.isfinite(begun).all()
    assert (begun - clean).abs().max() <= epsilon + 1e-6
    assert begun.min() >= 0
    assert begun.max() <= 1


def test_the_start_is_standard_normal_where_nothing_cuts_it():
    noise = torch.rand(1, 3, 200, 200, generator=torch.Generator().manual_seed(5))
    begun = Noisy(0.25).begin(torch.full_like(noise, 0.5), noise)
    on_a_face = ((begun - 0.5).abs() > 0.2499).double().mean().item()
    assert on_a_face == pytest.approx(math.erfc(0.25 / math.sqrt(2)), abs=0.006)  # P(|N| > 1/4) = 0.8026, sd 0.0012


def test_a_batch_equals_its_single_runs_and_the_callers_pictures_stay(victim):
    todo = samples(3)
    before = [s.chat.images[0].array().tobytes() for s in todo]
    one = attack(variant="sin", steps=4)
    whole = list(one.craft(victim, todo, seed=2))
    assert [a.sample_id for a in whole] == ["s0", "s1", "s2"]
    assert [s.chat.images[0].array().tobytes() for s in todo] == before
    for sample, artefact in zip(todo, whole, strict=True):
        (alone,) = one.craft(victim, [sample], seed=2)
        assert (alone.images[0].array() == artefact.images[0].array()).mean() > 0.99


def test_four_dialogues_of_one_turn_make_one_reply(victim):
    one = attack(steps=0)
    (artefact,) = one.craft(victim, samples(1), seed=0)
    asked = []

    def answer(asks):
        asked.extend(asks)
        k = len(asked)
        return [Reply(f"answer {k}", finish="length" if k == 2 else "stop", reason="cut", cost=Cost(queries=1))]

    (end,) = drive([one.converse(artefact, samples(1)[0], Ask(Chat.user("?"), Settings(9)))], answer)
    chat, reply = end.value
    assert reply.text == "answer 1\nanswer 2\nanswer 3\nanswer 4"
    assert (reply.finish, reply.reason, reply.cost.queries, end.cost.queries) == ("length", "cut", 4, 4)
    assert [a.chat.last_text for a in asked] == list(one.prompts)
    assert len(set(one.prompts)) == 4
    assert all(a.settings == Settings(9) and a.chat.images == artefact.images for a in asked)
    assert all([m.role for m in a.chat.messages] == ["system", "user"] for a in asked)
    assert chat == asked[0].chat == one.apply(artefact, samples(1)[0])


def test_a_failed_prompt_fails_the_sample_and_no_prompts_keep_its_own_text(victim):
    one = attack(steps=0)
    (artefact,) = one.craft(victim, samples(1), seed=0)
    replies = iter([Reply("fine"), Reply.error("out of memory")])
    (end,) = drive(
        [one.converse(artefact, samples(1)[0], Ask(Chat.user("?")))], lambda asks: [next(replies) for _ in asks]
    )
    assert end.value[1].outcome == "error"
    assert attack(prompts=()).apply(artefact, samples(1)[0]).last_text == "what is it ?"


def test_with_the_judge_a_picture_misleads_only_if_no_answer_names_its_object(victim):
    from proofglass.types import Attempt

    one = attack(steps=0)
    (sample,) = (Sample("a", "toy", Chat.user(picture(0), "?"), meta={"objects": ["star", "sky"]}),)
    (artefact,) = one.craft(victim, [sample], seed=0)
    for last, misled in (("a Star", 0.0), ("a drum", 1.0)):
        replies = iter([Reply("a kite"), Reply("a broom"), Reply("a drum"), Reply(last)])
        (end,) = drive([one.converse(artefact, sample, Ask(sample.chat))], lambda asks: [next(replies) for _ in asks])  # noqa: B023
        (score,) = plug("judges", "misled").score([Attempt(sample, *end.value)])
        assert score.value == misled


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"epsilon": 64}, "epsilon.*64/255"),
        ({"step_size": 10}, "step_size.*10/255"),
        ({"variant": "both"}, "variant"),
        ({"words": ("kite",)}, "words.*at least 2"),
        ({"words": ("kite", "kite", "drum")}, "words"),
        ({"words": "kite"}, "words: expected a list of texts"),
        ({"prompts": "describe"}, "prompts: expected a list of texts"),
        ({"temperature": 0}, "temperature"),
        ({"steps": -1}, "steps"),
        ({"batch": 0}, "batch"),
    ],
)
def test_bad_parameters_name_the_field(bad, field):
    with pytest.raises(ValueError, match=field):
        attack(**bad)


def test_it_needs_nothing_of_the_victim():
    from proofglass.studies.plan import _skip

    class Closed(Victim):
        name = key = "closed"

        def reply(self, asks):
            raise AssertionError("asked")

    assert _skip(Closed(), attack()) == ""
    wide = Sample("wide", "toy", Chat.user(Image.from_array(np.zeros((20, 31, 3), np.uint8)), "what is it ?"))
    made = list(attack(steps=2).craft(Closed(), [*samples(2), wide], seed=0))
    assert [(a.images[0].width, a.images[0].height) for a in made] == [(SIDE, SIDE)] * 2 + [(31, 20)]


def test_other_weights_of_the_encoder_are_another_attack(monkeypatch):
    before = attack().key
    assert attack().key == before
    monkeypatch.setattr("proofglass.testbed.surrogate_nets.weights_hash", lambda name: "other")
    assert attack().key != before
