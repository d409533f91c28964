"""Dong 2023 through its registered class: crafted on surrogates, small ones made here, never on the victim."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from attacks.dong_parts import (
    TOWERS,
    Anchors,
    Closed,
    Guarded,
    Tower,
    attack,
    grey_sample,
    levels_between,
    picture,
    samples,
)
from proofglass.errors import UsageError
from proofglass.interfaces import Detector
from proofglass.registry import build as plug
from proofglass.types import Budget, Chat, Image, Sample
from proofglass.victims.llava import Llava
from tiny_models import SIDE, build


def test_its_defaults_are_the_papers():
    default = plug("attacks", "dong2023")
    assert (default.goal, default.rounds, default.draws, default.rho, default.sigma) == (
        "embedding",
        500,
        20,
        0.5,
        16 / 255,
    )
    assert (default.epsilon, default.mu, default.beta, default.xi, default.through_transform) == (
        16 / 255,
        1,
        250,
        None,
        False,
    )
    assert default.prompt == ""


# -log(1 - s) = 5 - g . x: descent on it is ascent along g, as golden value G14 has it.
G14 = {
    "goal": "toxicity",
    "surrogates": (Anchors(((3.0, -4.0, 0.0),)), Anchors(((0.0, -1.0, 1.0),))),
    "epsilon": 0.1,
    "beta": 0.04,
    "xi": 0.02,
    "rho": 0,
    "sigma": 0,
    "draws": 1,
}


@pytest.mark.parametrize(
    ("rounds", "budget", "moved"),
    [
        (1, None, (0.02, -0.02, 0.02)),
        (2, None, (0.04, -0.04, 0.04)),
        (2, 3, (0.024, -0.032, 0.0)),  # one step: 1 forward, 1 backward, so 3 of budget, and an inner iterate
    ],
)
def test_it_walks_the_common_weakness_steps_worked_out_by_hand(rounds, budget, moved):  # G14
    cap = None if budget is None else Budget(budget)
    (found,) = attack(**G14, rounds=rounds).craft(Closed(), grey_sample(), seed=0, budget=cap)
    wanted = np.floor(128 + 255 * np.array(moved) + 0.5)
    assert found.images[0].array()[0, 0].tolist() == wanted.tolist()


def test_the_outer_step_is_a_fifth_of_epsilon():
    levels = np.random.default_rng(1).integers(30, 226, (7, 7, 3), dtype=np.uint8)
    (found,) = attack(rounds=1, epsilon=20 / 255).craft(Closed(), samples(Image.from_array(levels)), seed=0)
    assert set(np.unique(levels_between(found.images[0], found.clean))) == {4}


def test_it_lowers_its_objective_inside_the_ball_and_leaves_the_callers_pictures_alone():
    pictures = [picture(k) for k in range(3)]
    before = [p.array().copy() for p in pictures]
    found = list(attack().craft(Closed(), samples(*pictures), seed=2))
    assert [a.sample_id for a in found] == ["s0", "s1", "s2"]
    for artefact, own, kept in zip(found, pictures, before, strict=True):
        assert artefact.clean == own
        assert (own.array() == kept).all()  # pitfall 10: bit-identical
        assert 0 < levels_between(artefact.images[0], own).max() <= 16  # pitfall 4: truncation gives 17
        # Minus the squared distance of the embeddings, 0 at the clean picture.
        assert artefact.trace["loss_after_rounding"] < -1e-4
        x, x0 = (torch.from_numpy(i.array().transpose(2, 0, 1)[None] / 255).float() for i in (artefact.images[0], own))
        with torch.no_grad():
            distances = [((t.features(x) - t.features(x0)) ** 2).mean() for t in TOWERS]
        assert artefact.trace["loss_after_rounding"] == pytest.approx(-float(sum(distances)) / 2, rel=1e-3)


def test_a_batch_equals_its_single_runs_and_one_seed_gives_one_picture():  # pitfall 9
    todo = samples(*(picture(k) for k in range(3)))
    together = list(attack().craft(Closed(), todo, seed=2))
    again = list(attack(batch=2).craft(Closed(), todo, seed=2))
    for sample, artefact, other in zip(todo, together, again, strict=True):
        (alone,) = attack().craft(Closed(), [sample], seed=2)
        assert alone.images == other.images == artefact.images
    other, *_ = attack().craft(Closed(), todo, seed=3)
    assert other.images != together[0].images


def test_passes_of_the_surrogates_are_what_it_costs_and_it_was_made_on_no_victim():
    (found,) = attack(rounds=4, draws=3).craft(Closed(), samples(picture(0)), seed=2)
    assert found.cost.backward == 4 * 2 * 3
    assert found.cost.forward == 4 * 2 * 3
    assert found.cost.queries == 0
    assert found.crafted_on == ""
    assert found.trace["surrogates"] == "tower 0, tower 1"
    (short,) = attack(rounds=4, draws=3).craft(Closed(), samples(picture(0)), seed=2, budget=Budget(20))
    assert short.cost.backward == 2 * 3  # two steps cost 18 forward equivalents, a third would pass 20


def test_surrogates_are_visited_in_their_order_and_are_part_of_what_the_attack_is():
    there, back = attack(), attack(surrogates=TOWERS[::-1])
    (one,), (other,) = (a.craft(Closed(), samples(picture(0)), seed=2) for a in (there, back))
    assert one.images != other.images
    assert len({there.key, back.key, attack(surrogates=(Tower(0), Tower(2))).key}) == 3


def test_the_key_holds_the_weights_of_named_surrogates(monkeypatch):
    from proofglass.models.testbed import TestbedEncoder

    named = attack(surrogates=("testbed-clip",))
    before = named.key
    monkeypatch.setattr(TestbedEncoder, "weights_hash", "other weights")
    assert named.key != before


def test_through_the_transform_is_another_gradient_of_the_same_draws():
    todo = samples(picture(0))
    plain, chained = (next(attack(through_transform=t).craft(Closed(), todo, seed=2)) for t in (False, True))
    assert plain.trace["loss"][0] == chained.trace["loss"][0]
    assert plain.images != chained.images


def test_without_spectrum_simulation_the_embedding_goal_has_no_gradient_and_says_so():  # pitfall 15
    with pytest.raises(ValueError, match=r"rho, sigma.*no gradient"):
        attack(rho=0, sigma=0)


# ---------------------------------------------------------------- victims


def test_a_closed_victim_gets_pictures_of_its_stated_size_or_of_their_own():
    todo = samples(picture(0), picture(1), picture(2, 8, 14), picture(3))
    own = list(attack(rounds=1).craft(Closed(), todo, seed=2))
    assert [a.sample_id for a in own] == ["s0", "s1", "s2", "s3"]
    assert [a.images[0].array().shape[:2] for a in own] == [(12, 12), (12, 12), (8, 14), (12, 12)]
    stated = list(attack(rounds=1).craft(Closed(image_size=(9, 7)), todo, seed=2))
    assert {a.images[0].array().shape[:2] for a in stated} == {(7, 9)}
    (blank,) = attack(rounds=1).craft(Closed((9, 7)), [Sample("a", "toy", Chat.user("hi"))], seed=2)
    assert set(np.unique(blank.clean.array())) == {128}


def test_a_white_box_victim_is_never_differentiated():
    (found,) = attack(rounds=1).craft(Guarded(), samples(picture(0)), seed=2)
    assert found.images[0].array().shape == (10, 10, 3)
    assert set(np.unique(found.clean.array())) == {64}


def test_apply_puts_the_picture_into_the_samples_own_dialogue():
    sample = samples(picture(0))[0]
    (found,) = attack(rounds=1).craft(Closed(), [sample], seed=2)
    chat = attack().apply(found, sample)
    assert chat.images == found.images
    assert chat.last_text == sample.chat.last_text


# ---------------------------------------------------------------- surrogates that are the victim


@dataclass(frozen=True)
class Twin(Guarded):
    """A victim that reads the tower `Tower(0)`."""

    name = "twin"

    def features(self, pixels, layer="pooled"):
        return Tower(0).features(pixels, layer)


@dataclass(frozen=True)
class Renamed(Closed):
    name = "tower 1"


@dataclass(frozen=True)
class SameFile(Closed):
    name = "same file"
    weights_hash = "ab"


@dataclass(frozen=True)
class Filed(Tower):
    weights_hash = "ab"


@pytest.mark.parametrize(
    "victim", [Twin(), Renamed(), plug("defenses", "none")(Renamed())], ids=["tower", "name", "defended"]
)
def test_a_surrogate_that_is_the_victim_is_refused(victim):
    with pytest.raises(UsageError, match="shares weights with the victim"):
        list(attack().craft(victim, samples(picture(0)), seed=0))


def test_a_surrogate_from_the_victims_weight_file_is_refused():
    with pytest.raises(UsageError, match="shares weights"):
        list(attack(surrogates=(Filed(),)).craft(SameFile(), samples(picture(0)), seed=0))


@pytest.mark.parametrize("name", ["testbed-linear", "testbed-cross"])
def test_the_tower_of_the_testbed_victims_is_no_surrogate_for_them(name):
    victim = plug("victims", name, device="cpu")
    with pytest.raises(UsageError, match=f"'testbed-clip' shares weights with the victim '{name}'"):
        list(attack(surrogates=("testbed-clip",)).craft(victim, samples(picture(0)), seed=0))


# ---------------------------------------------------------------- text


@pytest.fixture(scope="module")
def captioner(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava", seed=1), device="cpu")


def test_the_text_goal_makes_its_surrogates_say_the_target_at_their_own_size(captioner):
    todo = samples(picture(0, 20, 32), target="a kite")
    # 20 x 32 against the surrogate's own square: the gradient comes back through the resize.
    (found,) = attack(goal="text", surrogates=(captioner,), rounds=10).craft(Closed(), todo, seed=2)
    assert found.images[0].array().shape == (20, 32, 3)
    assert levels_between(found.images[0], found.clean).max() <= 16
    (clean,) = attack(goal="text", surrogates=(captioner,), rounds=1).craft(Closed(), todo, seed=2, budget=Budget(0))
    assert found.trace["loss_after_rounding"] < clean.trace["loss_after_rounding"] - 0.05


def test_the_text_beside_the_picture_is_the_codes_none_unless_a_prompt_is_given(captioner):
    todo = samples(picture(0, SIDE, SIDE), target="a kite")

    def loss(**parameters):
        made = attack(goal="text", surrogates=(captioner,), rounds=1, rho=0, sigma=0, **parameters)
        return next(made.craft(Closed(), todo, seed=2)).trace["loss"][0]

    def nll(chat, target):
        clean = todo[0].chat.images[0]
        prepared = captioner.prepare([[(chat.with_image(clean), target)]])
        return float(captioner.loss_and_grad(captioner.pixels(clean), prepared, need_grad=False).loss)

    assert loss() == pytest.approx(nll(Chat.user(""), "a kite"), rel=1e-4)
    assert loss(prompt="say it") == pytest.approx(nll(Chat.user("say it"), "a kite"), rel=1e-4)
    assert loss(prompt=None) == pytest.approx(nll(todo[0].chat, "a kite"), rel=1e-4)
    assert loss(target="a drum") == pytest.approx(nll(Chat.user(""), "a drum"), rel=1e-4)
    assert len({loss(), loss(prompt="say it"), loss(prompt=None), loss(target="a drum")}) == 4


def test_without_a_target_it_says_which_sample_lacks_one(captioner):
    with pytest.raises(ValueError, match="'s0': target"):
        list(attack(goal="text", surrogates=(captioner,)).craft(Closed(), samples(picture(0)), seed=2))


def test_a_victim_can_be_an_embedding_surrogate_at_its_own_size(captioner):
    (found,) = attack(surrogates=(captioner, Tower(0)), rounds=2).craft(Closed(), samples(picture(0, 20, 32)), seed=2)
    assert found.trace["loss_after_rounding"] < 0


# ---------------------------------------------------------------- detectors


def scored(*scores):
    """A detector with these scores on a picture of mean colour 0 (black)."""

    @dataclass(frozen=True)
    class Fixed(Detector):
        name = "fixed"

        def scores(self, pixels):
            logits = torch.logit(torch.tensor(scores))
            return torch.sigmoid(logits - 50 * pixels.mean((1, 2, 3))[:, None])

    return Fixed()


@pytest.mark.parametrize(
    ("scores", "loss"),
    [
        ((0.9, 0.4, 0.6), -(math.log(0.1) + math.log(0.4)) / 2),  # the anchors that fire, and no other
        ((0.5, 0.1), -math.log(0.5)),
        ((0.3, 0.1), -math.log(0.7)),  # none fires: the strongest
    ],
)
@pytest.mark.parametrize("goal", ["face", "toxicity"])
def test_the_detector_loss_is_the_background_log_loss_of_the_anchors_that_fire(goal, scores, loss):
    black = samples(Image.from_array(np.zeros((4, 4, 3), np.uint8)))
    made = attack(goal=goal, surrogates=(scored(*scores),), rho=0, sigma=0, rounds=2)
    (found,) = made.craft(Closed(), black, seed=0)
    assert found.trace["loss"][0] == pytest.approx(loss, rel=1e-5)
    assert found.trace["loss_after_rounding"] < loss


def test_a_detection_goes_out():
    black = samples(Image.from_array(np.zeros((4, 4, 3), np.uint8)))
    detector = scored(0.9, 0.6)
    (found,) = attack(goal="face", surrogates=(detector,), rounds=6).craft(Closed(), black, seed=0)
    after = torch.from_numpy(found.images[0].array().transpose(2, 0, 1)[None] / 255).float()
    assert detector.scores(after).max() < 0.5


def test_the_standard_surrogates_of_each_goal_are_registered_detectors_or_encoders():
    (detector,) = plug("attacks", "dong2023", goal="toxicity").models()
    assert isinstance(detector, Detector)
    (face,) = plug("attacks", "dong2023", goal="face").models()
    assert face.name == "centerface"
    assert [type(m).__name__ for m in plug("attacks", "dong2023").models()] == ["TestbedEncoder"] * 3


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"goal": "speed"}, "goal"),
        ({"epsilon": 16}, "epsilon.*16/255"),
        ({"rounds": 0}, "rounds"),
        ({"draws": 0}, "draws"),
        ({"batch": 0}, "batch"),
        ({"rho": -0.1}, "rho"),
        ({"sigma": -1}, "sigma"),
        ({"mu": -1}, "mu"),
        ({"beta": 0}, "beta"),
        ({"xi": 0}, "xi"),
        ({"target": "a kite"}, "target"),
    ],
)
def test_bad_parameters_name_the_field(bad, field):
    with pytest.raises(ValueError, match=field):
        attack(**bad)


@pytest.mark.parametrize(
    ("goal", "surrogates", "error"),
    [
        ("embedding", (scored(0.5),), "takes Encoder or WhiteBoxVictim, found 'fixed'"),
        ("text", (Tower(0),), "takes WhiteBoxVictim, found 'tower 0'"),
        ("face", (Tower(0),), "takes Detector, found 'tower 0'"),
        ("embedding", ("surrogate-vti",), "surrogate-vit"),
    ],
)
def test_a_surrogate_that_does_not_serve_the_goal_is_named(goal, surrogates, error):
    with pytest.raises(UsageError, match=error):
        list(attack(goal=goal, surrogates=surrogates).craft(Closed(), samples(picture(0)), seed=0))


def test_on_the_testbed_it_evades_the_detector_that_it_was_crafted_on():
    detector = plug("models", "testbed-detector", device="cpu")
    todo = list(plug("datasets", "testbed", part="typographic", n=2))
    made = plug("attacks", "dong2023", goal="toxicity", rounds=6, draws=2)
    found = list(made.craft(Closed((96, 96)), todo, seed=0))

    def fires(images):
        x = torch.stack([torch.from_numpy(i.array().transpose(2, 0, 1) / 255).float() for i in images])
        with torch.no_grad():
            return (detector.scores(x) >= detector.threshold).flatten().tolist()

    assert fires([s.chat.images[0] for s in todo]) == [True, True]
    assert fires([a.images[0] for a in found]) == [False, False]
