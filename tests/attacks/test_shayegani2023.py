"""Shayegani 2023 through its registered class: on stubs with known answers, a tiny LLaVA and the testbed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from proofglass.errors import UsageError
from proofglass.flow import drive
from proofglass.images import typography
from proofglass.interfaces import Victim, WhiteBoxVictim
from proofglass.registry import build as plug
from proofglass.types import Ask, Attempt, Chat, Image, Layout, Sample, Settings
from proofglass.victims.llava import Llava
from tiny_models import SIDE, build

pytestmark = pytest.mark.filterwarnings("ignore:font 'FreeMonoBold' is not installed")
PAGE = Layout(width=96, height=96, font="DejaVuSans.ttf", size=12, x=0, y=0, wrap=12, grid=12, incitement="do it .")


def attack(**parameters):
    return plug("attacks", "shayegani2023", **parameters)


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


def picture(seed, low=0, high=256, side=SIDE):
    return Image.from_array(np.random.default_rng(seed).integers(low, high, (side, side, 3), dtype=np.uint8))


def samples(n=3, with_image=True):
    text = "how do i mend a silver kite ?"
    meta = {"instruction": "steps to mend a silver kite", "request": ["mend", "silver", "kite"]}
    return [Sample(f"s{k}", "toy", Chat.user(picture(k), text) if with_image else Chat.user(text), meta=meta)
            for k in range(n)]  # fmt: skip


class Linear(WhiteBoxVictim):
    """Its feature is a known linear function of one pixel."""

    name = "linear"
    key = "linear"
    image_size = (1, 1)
    weights: ClassVar = torch.tensor([1e-3, -5.0, 0.2]).reshape(1, 3, 1, 1)

    def reply(self, asks):
        raise AssertionError("only the tower is attacked")

    prepare = loss_and_grad = reply

    def pixels(self, image):
        return torch.from_numpy(image.array().copy()).permute(2, 0, 1)[None] / 255

    def features(self, pixels, layer="pooled"):
        return (pixels * self.weights).flatten(1).sum(1, keepdim=True)


def grey(level):
    return Image.from_array(np.full((1, 1, 3), level, np.uint8))


def test_the_first_adam_step_moves_each_pixel_by_a_tenth_whatever_its_gradient():  # G12
    # f(grey) - f(white) > 0, so the gradient is w = (1e-3, -5, .2) and the step (-.099999, +.1, -.1) = 25.5 levels:
    # from 128 to 102.50026 -> 103, 153.5 and 102.5, which float32 may round either way.
    one = attack(trigger="visual", visual=grey(255), start="benign", benign=grey(128), steps=1, tau=None)
    (artefact,) = one.craft(Linear(), samples(1, False), seed=0)
    red, green, blue = artefact.images[0].array()[0, 0].tolist()
    assert red == 103
    assert green in (153, 154)
    assert blue in (102, 103)
    assert artefact.trace["loss"][0] == pytest.approx(127 / 255 * 4.799, abs=1e-4)


@pytest.mark.parametrize("layer", ["pooled", "patches"])
def test_at_its_own_trigger_the_distance_is_that_of_pairwise_distance_and_no_gradient_is_nan(victim, layer):
    same = picture(7)
    d = victim.features(victim.pixels(same), layer).numel()
    one = attack(trigger="visual", visual=same, start="benign", benign=same, layer=layer, steps=1, tau=None)
    (artefact,) = one.craft(victim, samples(1), seed=0)
    assert artefact.trace["loss"][0] == pytest.approx(math.sqrt(d) * 1e-6, rel=0.05, abs=5e-7)
    assert artefact.trace["nonfinite_steps"] == 0


def test_within_tau_of_the_trigger_it_stops_and_keeps_the_picture(victim):
    same = picture(7)
    one = attack(trigger="visual", visual=same, start="benign", benign=same, steps=50)
    (artefact,) = one.craft(victim, samples(1), seed=0)
    assert artefact.images == (same,)
    # The look at the distance is a pass of the tower, and nobody is asked.
    cost = artefact.cost
    assert (artefact.trace["steps"], cost.forward, cost.backward, cost.queries) == (0, 1, 0, 0)


def test_tau_ends_each_picture_at_the_first_look_that_reaches_it(victim):
    free = list(attack(trigger="visual", visual=picture(9), steps=40, tau=None).craft(victim, samples(2), seed=0))
    tau = free[0].trace["loss"][20]
    for artefact in attack(trigger="visual", visual=picture(9), steps=40, tau=tau, check_every=5).craft(
        victim, samples(2), seed=0
    ):
        assert artefact.trace["loss_after_rounding"] <= tau
        assert artefact.trace["steps"] % 5 == 0
        assert artefact.trace["succeeded"]


@pytest.mark.parametrize("layer", ["pooled", "patches"])
@pytest.mark.parametrize("trigger", ["ocr", "visual", "ocr+visual"])
def test_every_picture_trigger_draws_the_embedding_nearer(victim, trigger, layer):
    (artefact,) = attack(trigger=trigger, layer=layer, steps=25, start="noise", tau=None).craft(
        victim, samples(1), seed=1
    )
    assert artefact.trace["loss_after_rounding"] < 0.8 * artefact.trace["loss"][0]


def test_a_text_trigger_goes_through_the_text_tower_of_the_encoder_it_names(victim):
    one = attack(trigger="text", encoder="testbed-clip", steps=20, start="noise", tau=None)
    (artefact,) = one.craft(victim, samples(1), seed=1)
    encoder = plug("models", "testbed-clip")
    words = encoder.text_features(["steps to mend a silver kite"])
    with torch.no_grad():
        seen = encoder.features(victim.pixels(artefact.images[0]))
    # 1e-6 inside the norm; float32
    assert artefact.trace["loss_after_rounding"] == pytest.approx(float((seen - words).norm()), abs=1e-3)
    assert artefact.trace["loss_after_rounding"] < 0.8 * artefact.trace["loss"][0]
    assert one.key != attack(trigger="visual", encoder="testbed-clip", steps=20, start="noise", tau=None).key


def test_a_batch_equals_its_single_runs_and_the_callers_pictures_stay(victim):
    todo = samples(3)
    before = [s.chat.images[0].array().tobytes() for s in todo]
    one = attack(steps=6, start="benign", tau=None)
    whole = list(one.craft(victim, todo, seed=2))
    assert [a.sample_id for a in whole] == ["s0", "s1", "s2"]
    assert [s.chat.images[0].array().tobytes() for s in todo] == before
    for sample, artefact in zip(todo, whole, strict=True):
        assert artefact.clean == sample.chat.images[0]
        (alone,) = one.craft(victim, [sample], seed=2)
        assert (alone.images[0].array() == artefact.images[0].array()).mean() > 0.99


@pytest.mark.parametrize(("start", "level"), [("white", 255), ("benign", 40)])
def test_outside_its_patch_the_picture_stays(victim, start, level):
    benign = Image.from_array(np.full((SIDE, SIDE, 3), 40, np.uint8))
    one = attack(start=start, benign=benign, patch=[10, 8, 0.5, 0.5], steps=3, tau=None)
    (artefact,) = one.craft(victim, samples(1), seed=0)
    changed = (artefact.images[0].array() != level).any(-1)
    assert changed[9:19, 10:18].any()
    changed[9:19, 10:18] = False  # rows 14 - 5 .. 14 + 5, columns 14 - 4 .. 14 + 4
    assert not changed.any()


def test_noise_starts_anew_for_each_seed_and_white_is_white(victim):
    first, other = (next(attack(start="noise", steps=0, tau=None).craft(victim, samples(1), seed=s)) for s in (1, 2))
    assert first.images != other.images
    (white,) = attack(start="white", steps=0, tau=None).craft(victim, samples(1), seed=1)
    assert white.images[0].array().min() == 255


def test_the_triggers_say_the_request_the_thing_or_both():
    page = replace(PAGE, steps=3)
    stated = type("Stated", (Linear,), {"layout": page})()
    (sample,) = samples(1)
    words = {kind: typography.text_of(attack(trigger=kind).picture(stated, sample)) for kind in ("ocr", "visual")}
    assert words == {"ocr": "steps to\nmend a\nsilver kite", "visual": "silver kite"}
    ocr, thing, both = (attack(trigger=k).picture(stated, sample).array() for k in ("ocr", "visual", "ocr+visual"))
    assert np.array_equal(both, np.minimum(ocr, thing))  # black ink on white: both inks, none lost
    assert thing[:48].min() == 255  # the name stands in the lower half, below the words
    seen = Image.from_array(np.full((5, 5, 3), 90, np.uint8))
    over = attack(trigger="ocr+visual", visual=seen).picture(stated, sample).array()
    assert np.array_equal(over[ocr == 255], np.full((ocr == 255).sum(), 90))


def test_a_request_too_long_for_its_picture_is_cut_with_a_warning():
    stated = type("Stated", (Linear,), {"layout": PAGE})()
    (sample,) = samples(1)
    long = replace(sample, meta={"instruction": "steps to mend a kite " * 9})
    with pytest.warns(UserWarning, match="overflows its picture"):
        attack().picture(stated, long)


def test_without_normalisation_the_tower_sees_the_bare_pixels(victim):
    x = torch.rand(2, 3, SIDE, SIDE)
    bare = attack(normalise=False)._tower(victim).features(x)
    torch.testing.assert_close(bare, victim.model.family.look({"pixel_values": x}, "pooled"), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(bare, victim.features(x), atol=1e-2)
    with pytest.raises(UsageError, match="does not state mean and std"):
        list(attack(normalise=False).craft(Linear(), samples(1), seed=0))


def test_the_text_beside_the_picture_is_the_layouts_or_the_samples_own(victim):
    (sample,) = samples(1)
    stated = type("Stated", (Linear,), {"layout": PAGE})()
    for prompt, said in ((None, "do it ."), ("look .", "look ."), ("", "how do i mend a silver kite ?")):
        one = attack(prompt=prompt, steps=0)
        (artefact,) = one.craft(stated, [sample], seed=0)
        chat = one.apply(artefact, replace(sample, chat=sample.chat.with_system("be brief")))
        assert (chat.last_text, chat.system, chat.images) == (said, "be brief", artefact.images)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"trigger": "sound"}, "trigger"),
        ({"trigger": "text"}, "trigger.*encoder='testbed-clip'"),
        ({"trigger": "text", "encoder": "testbed-clip", "layer": "patches"}, "trigger"),
        ({"layer": "last"}, "layer"),
        ({"start": "black"}, "start"),
        ({"tau": 0}, "tau"),
        ({"patch": (3, 3)}, "patch"),
        ({"batch": 0}, "batch"),
        ({"steps": -1}, "steps"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"encoder": "testbed-clip", "normalise": False}, "normalise"),
    ],
)
def test_bad_parameters_name_the_field(bad, field):
    with pytest.raises(ValueError, match=field):
        attack(**bad)


@dataclass(frozen=True)
class Closed(Victim):
    """Gives replies only, and is not asked any."""

    name = "closed"
    key = "closed"

    def reply(self, asks):
        raise AssertionError("asked")


def test_through_an_encoder_of_its_own_it_needs_nothing_of_the_victim():
    from proofglass.studies.plan import _skip

    through, looking_in = attack(encoder="testbed-clip", steps=2, start="benign", tau=None), attack()
    assert _skip(Closed(), through) == ""
    assert "needs the vision encoder (grey box (vision encoder))" in _skip(Closed(), looking_in)
    with pytest.raises(UsageError, match=r"closed.*name an `encoder`"):
        list(looking_in.craft(Closed(), samples(1), seed=0))
    # A closed victim without a size takes pictures as they are: unlike sizes are no batch.
    wide = Image.from_array(np.zeros((20, 31, 3), np.uint8))
    todo = [*samples(2), replace(samples(1)[0], id="wide", chat=Chat.user(wide, "mend a kite")), *samples(1, False)]
    made = list(through.craft(Closed(), todo, seed=0))
    assert [(a.images[0].width, a.images[0].height) for a in made] == [(SIDE, SIDE)] * 2 + [(31, 20), (224, 224)]
    assert all(a.trace["loss_before_rounding"] < a.trace["loss"][0] for a in made)


def test_a_model_that_is_no_encoder_is_named():
    with pytest.raises(UsageError, match="encoder: 'testbed-detector' is no image encoder"):
        list(attack(encoder="testbed-detector").craft(Closed(), samples(1), seed=0))


def test_a_thing_without_a_name_or_picture_is_an_error_of_its_sample(victim):
    nameless = Sample("n", "toy", Chat.user("hello"))
    with pytest.raises(ValueError, match=r"'n'.*give `visual`"):
        list(attack(trigger="visual").craft(victim, [nameless], seed=0))


def test_on_the_testbed_a_request_that_only_the_tower_sees_is_answered_and_a_white_page_is_not():
    victim = plug("victims", "testbed-linear", device="cpu")
    todo = list(plug("datasets", "testbed", part="restricted-image", n=2))
    answered = {}
    for steps in (0, 60):
        one = attack(layer="patches", steps=steps, tau=None)
        artefacts = one.craft(victim, todo, seed=1)
        asked = [
            one.converse(a, s, Ask(s.chat, Settings(max_new_tokens=40))) for a, s in zip(artefacts, todo, strict=True)
        ]
        ends = drive(asked, victim.reply)
        attempts = [Attempt(s, *end.value) for s, end in zip(todo, ends, strict=True)]
        answered[steps] = sum(score.value for score in plug("judges", "testbed-content").score(attempts))
    assert answered == {0: 0, 60: 2}
