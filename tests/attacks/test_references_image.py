"""PGD, APGD, Square, black-box PGD and best-of-n noise through their registered names (golden values G3 to G10)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attacks.image_toys import apgd_toy, as_picture, craft, quadratic
from proofglass.engine import Differentiable
from proofglass.errors import UsageError
from proofglass.interfaces import Victim
from proofglass.registry import build as plug
from proofglass.types import Chat, Image, Sample
from proofglass.victims.llava import Llava
from scripted_victims import Scripted, asked, grey
from tiny_models import SIDE, build

SEARCHERS = {
    "pgd": {"steps": 12},
    "apgd": {"steps": 12},
    "square": {"steps": 40},
    "black-box-pgd": {"steps": 8, "draws": 24, "kind": "rgf", "rule": "sign", "step_size": 4 / 255},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


def picture(seed):
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def samples(n=3):
    return [
        Sample(f"s{k}", "toy", Chat.user(picture(k), f"please make a kite {k}"), target=f"sure , kite {k}")
        for k in range(n)
    ]


# ------------------------------------------------------------------------------------------------ golden values


def test_g3_pgd_ends_in_the_corner_of_ball_and_box():
    # z = (-.1, .6, 1.2, .45) lies outside: the first value ends on the box (its ball reaches -.04), the second on the
    # ball, the third on the box, the fourth at its own optimum.
    f = quadratic((1.0, 1.0, 1.0, 1.0), (-0.1, 0.6, 1.2, 0.45))
    victim = Scripted(f, x0=as_picture(0.02, 0.5, 0.97, 0.4))
    craft("pgd", victim, init="clean", steps=200, step_size=0.25 / 255, epsilon=16 / 255)
    found = victim.seen[-3][0][0, 0].flatten()  # the last iterate; behind it the two looks at what was chosen
    torch.testing.assert_close(found[:3], torch.tensor([0.0, 0.5627451, 1.0]), atol=1e-6, rtol=0)
    assert float(found[3]) == pytest.approx(0.45, abs=0.25 / 255)


@pytest.mark.parametrize(("select", "loss"), [("best", 8.0690119e-5), ("last", 8.1459054e-5)])
def test_g4_pgd_returns_step_five_by_loss_and_step_six_as_last(select, loss):
    f = quadratic((1.0, 2.0, 0.5, 1.0), (0.0, 0.52, 1.0, 0.41))
    victim = Scripted(f, x0=as_picture(0.02, 0.5, 0.97, 0.4))
    run = {"epsilon": 4 / 255, "steps": 6, "step_size": 1 / 255, "init": "clean"}
    (found,) = craft("pgd", victim, select=select, **run)
    assert found.trace["loss_before_rounding"] == pytest.approx(loss, abs=1e-9)
    moved = (victim.seen[4][0] - as_picture(0.02, 0.5, 0.97, 0.4))[0, 0].flatten() * 255  # the iterate after 4 steps
    torch.testing.assert_close(moved, torch.tensor([-4.0, 4.0, 4.0, 2.0]), atol=1e-3, rtol=0)


def test_g6_sign_momentum_walks_as_worked_out_by_hand():
    gradients = [(1.0, -2.0, 0.0), (-1.0, -1.0, 0.0), (-1.0, 1.0, 0.5)]
    velocities = [(1, -1, 0), (-1, -1, 0), (-1, 1, 1)]
    for steps in (1, 2, 3):
        left = iter(gradients)

        def turned(grad, left=left):
            grad = torch.zeros_like(grad)
            grad[0, 0].view(-1)[:3] = torch.tensor(next(left, (0.0,) * 3))
            return grad

        victim = Scripted(lambda x, names: x.flatten(1).sum(1), grad=turned)
        run = {"epsilon": 8 / 255, "step_size": 1 / 255, "init": "clean", "select": "last"}
        (found,) = craft("pgd", victim, steps=steps, momentum="sign", **run)
        moved = found.images[0].array()[:, :, 0].astype(int).flatten()[:3] - 128
        assert moved.tolist() == [-sum(v[k] for v in velocities[:steps]) for k in range(3)]


def test_g6_l2_momentum_takes_unit_steps_of_the_accumulated_direction():
    # g = (3, 4) then (0, 5): v1 = (.6, .8); v2 = u(.9 v1 + (0, 1)) = u(.54, 1.72) = (.299539, .954086)
    left = iter([(3.0, 4.0), (0.0, 5.0)])

    def turned(grad):
        grad = torch.zeros_like(grad)
        grad[0, 0].view(-1)[:2] = torch.tensor(next(left, (0.0, 0.0)))
        return grad

    victim = Scripted(lambda x, names: x.flatten(1).sum(1), grad=turned)
    craft("pgd", victim, norm="l2", momentum="sign", epsilon=1.0, step_size=0.1, steps=2, init="clean", select="best")
    start, one, two = (x[0, 0].flatten()[:2] for x, _ in victim.seen[:3])
    torch.testing.assert_close(start - one, torch.tensor([0.06, 0.08]), atol=1e-6, rtol=0)
    torch.testing.assert_close(one - two, torch.tensor([0.0299539, 0.0954086]), atol=1e-6, rtol=0)


def test_l1_momentum_adds_gradients_of_unit_l1_norm():
    # decay 1: (3, 1) -> (.75, .25); + (-1, 0) / 1 -> (-.25, .25): the first value turns, the second goes on
    left = iter([(3.0, 1.0), (-1.0, 0.0)])

    def turned(grad):
        grad = torch.zeros_like(grad)
        grad[0, 0].view(-1)[:2] = torch.tensor(next(left, (0.0, 0.0)))
        return grad

    victim = Scripted(lambda x, names: x.flatten(1).sum(1), grad=turned)
    run = {"step_size": 1 / 255, "steps": 2, "init": "clean", "select": "last"}
    (found,) = craft("pgd", victim, momentum="l1", momentum_decay=1.0, **run)
    assert found.images[0].array()[:, :, 0].flatten()[:2].tolist() == [128, 126]


@pytest.mark.parametrize(
    ("steps", "first", "loss", "best"),
    [
        (20, None, 0.0225005646, (0.529883, 0.430371, 0.6)),
        (20, 0.1, None, (0.529932, 0.429932, 0.6)),
        (100, None, 0.0225000536, None),
    ],
)
def test_g8_apgd_finds_the_optimum_of_the_toy(steps, first, loss, best):
    victim = apgd_toy()
    (found,) = craft("apgd", victim, epsilon=0.1, steps=steps, step_size=first, init="clean")
    if first is None and steps == 20:
        losses = [float(victim.loss(x, ())[0]) for x, _ in victim.seen[1:7]]
        assert losses == pytest.approx([0.031, 0.061625, 0.026781, 0.0325, 0.027883, 0.032194], abs=1e-6)
    if loss is not None:
        assert found.trace["loss_before_rounding"] == pytest.approx(loss, abs=1e-8)  # float32
    if best is not None:
        nearest = min(victim.seen, key=lambda seen: float(victim.loss(seen[0], ())[0]))[0]
        torch.testing.assert_close(nearest[0, 0].flatten()[:3], torch.tensor(best), atol=2e-6, rtol=0)


def test_apgd_begins_on_the_balls_face_and_without_randomness_on_the_picture():
    for init, largest in (("random", 0.1), ("clean", 0.0)):
        victim = Scripted(lambda x, names: x.flatten(1).sum(1))
        craft("apgd", victim, epsilon=0.1, steps=1, init=init)
        start = (victim.seen[0][0] - victim.pixels(grey())).abs().max()
        assert float(start) == pytest.approx(largest, abs=1e-6)


def test_g9_square_shrinks_its_side_as_the_authors_code_does():
    rule = plug("attacks", "square").rule()
    wanted = {0: (0.8, 200), 5: (0.8, 200), 6: (0.4, 142), 26: (0.2, 100), 101: (0.1, 71), 251: (0.05, 50),
              501: (0.025, 35), 1001: (0.0125, 25), 2001: (0.00625, 18), 3001: (0.003125, 13),
              4001: (0.0015625, 9)}  # fmt: skip
    for i, (share, side) in wanted.items():
        assert rule.share(i, 5000) == pytest.approx(share)
        assert rule.side(i, 5000, 224, 224) == side


def test_square_begins_with_stripes_and_every_proposal_is_one_square_at_full_distance():
    victim = Scripted(lambda x, names: -x.flatten(1).sum(1), image_size=(8, 8))
    (found,) = craft("square", victim, asked(image=grey(side=8)), epsilon=8 / 255, steps=30)
    seen = [(x[0] * 255 - 128).round().int() for x, _ in victim.seen[:31]]
    assert set(seen[0].unique().tolist()) == {0}
    assert set(seen[1].unique().tolist()) == {-8, 8}
    assert (seen[1] == seen[1][:, :1]).all()  # the same for all rows of a channel: vertical stripes
    best, changed = seen[1], 0
    for x in seen[2:]:
        assert set(x.unique().tolist()) <= {-8, 8}
        for channel in x != best:  # what a channel changes lies in a window, every value of which has one sign now
            if channel.any():
                rows, columns = channel.any(1).nonzero(), channel.any(0).nonzero()
                k = int((x != best).flatten(1).any(1).nonzero()[0])
                changed += 1
                assert rows.max() - rows.min() < 8
                assert columns.max() - columns.min() < 8
                assert x[k][(x != best)[k]].unique().numel() == 1
        best = x if x.sum() > best.sum() else best
    assert changed > 5
    assert not any(need_grad for _, need_grad in victim.seen)
    assert found.cost.forward == 31
    assert found.cost.backward == 0
    assert int(found.images[0].array().astype(int).sum()) == int((best + 128).sum())


def square_form():  # G10: J(z) = |z|^2 + z0 z1 on the first three values
    def f(x, rows):
        z = x[:, 0].flatten(1)[:, :3]
        return (z**2).sum(1) + z[:, 0] * z[:, 1]

    return Differentiable(f, 1)


@pytest.mark.parametrize("kind", ["spsa", "rgf"])
def test_g10_all_sign_vectors_together_give_the_true_gradient(kind, monkeypatch):
    estimate = plug("attacks", "black-box-pgd", kind=kind, sigma=0.1, draws=8).estimate(square_form(), [0])
    signs = torch.zeros(8, 3, 2, 2)
    for k in range(8):
        signs[k, 0].view(-1)[:3] = torch.tensor([1.0 if k >> j & 1 else -1.0 for j in range(3)])
    monkeypatch.setattr(type(estimate), "directions", lambda self, like, seed, step: signs)
    seen = estimate(as_picture(0.2, 0.5, 0.9), 0)
    torch.testing.assert_close(seen.grad[0, 0].flatten()[:3], torch.tensor([0.9, 1.2, 1.8]), atol=1e-5, rtol=0)
    assert seen.forward == (9 if kind == "rgf" else 16)


@pytest.mark.parametrize(("kind", "wanted"), [("spsa", (1.5, -1.5, 1.5)), ("rgf", (1.7, -1.7, 1.7))])
def test_g10_one_direction_alone_gives_the_slope_along_it(kind, wanted, monkeypatch):
    estimate = plug("attacks", "black-box-pgd", kind=kind, sigma=0.1, draws=1).estimate(square_form(), [0])
    one = torch.zeros(1, 3, 2, 2)
    one[0, 0].view(-1)[:3] = torch.tensor([1.0, -1.0, 1.0])
    monkeypatch.setattr(type(estimate), "directions", lambda self, like, seed, step: one)
    seen = estimate(as_picture(0.2, 0.5, 0.9), 0)
    torch.testing.assert_close(seen.grad[0, 0].flatten()[:3], torch.tensor(wanted), atol=1e-5, rtol=0)


# ------------------------------------------------------------------------------------------------ on a tiny model


@pytest.mark.parametrize("name", SEARCHERS)
def test_the_loss_falls_inside_the_ball_and_a_batch_equals_its_single_runs(name, tiny):
    todo = samples()
    before = [s.chat.images[0].array().copy() for s in todo]
    whole = craft(name, tiny, todo, seed=2, epsilon=16 / 255, **SEARCHERS[name])
    for sample, old, artefact in zip(todo, before, whole, strict=True):
        changed = artefact.images[0].array().astype(int) - old.astype(int)
        assert np.abs(changed).max() <= 16
        assert artefact.trace["loss_before_rounding"] < artefact.trace["loss"][0]
        assert (sample.chat.images[0].array() == old).all()
    alone = craft(name, tiny, todo[1:2], seed=2, epsilon=16 / 255, **SEARCHERS[name])[0]
    # the sign of a gradient that is noise in the last bit may differ in a few pixels
    assert (alone.images[0].array() == whole[1].images[0].array()).mean() > 0.98


def test_pgd_and_apgd_stay_in_an_l2_ball(tiny):
    for name in ("pgd", "apgd"):
        (found,) = craft(name, tiny, samples(1), norm="l2", epsilon=1.5, steps=6)
        changed = (found.images[0].array().astype(float) - found.clean.array()) / 255
        rounding = 0.5 / 255 * np.sqrt(changed.size)
        assert np.linalg.norm(changed) <= 1.5 + rounding
        assert found.trace["loss_before_rounding"] < found.trace["loss"][0]


def test_a_search_by_losses_asks_for_no_gradient():
    for name, extra in (("square", {"steps": 5}), ("black-box-pgd", {"steps": 2, "draws": 3})):
        victim = Scripted(lambda x, names: x.flatten(1).sum(1))
        (found,) = craft(name, victim, **extra)
        assert victim.seen
        assert not any(need_grad for _, need_grad in victim.seen)
        assert found.cost.backward == 0


def test_a_victim_without_losses_is_refused_with_what_to_do():
    class RepliesOnly(Victim):
        name = "replies-only"

        def reply(self, asks):
            raise AssertionError("never asked")

    for name, extra in (("square", {}), ("black-box-pgd", {}), ("random-noise", {"tries": 4})):
        with pytest.raises(UsageError, match="replies-only gives replies only"):
            craft(name, RepliesOnly(), **extra)


def test_a_study_leaves_out_a_search_by_losses_on_a_victim_that_gives_replies_only():
    from proofglass.studies.plan import _skip

    class RepliesOnly(Victim):
        name = "replies-only"

        def reply(self, asks):
            return []

    for name, extra in (("square", {}), ("black-box-pgd", {}), ("random-noise", {"tries": 4})):
        assert "the loss of a target" in _skip(RepliesOnly(), plug("attacks", name, **extra))
        assert _skip(Scripted(lambda x, names: x.sum()), plug("attacks", name, **extra)) == ""
    assert _skip(RepliesOnly(), plug("attacks", "random-noise")) == ""


# ------------------------------------------------------------------------------------------------ best-of-n noise


def test_more_tries_keep_the_noise_with_the_lowest_loss_of_the_sample_s_target():
    wanted = {"t0": 1.0, "t1": -1.0}  # t0 wants a dark picture, t1 a bright one
    victim = Scripted(lambda x, names: x.flatten(1).mean(1) * torch.tensor([wanted[name] for name in names]))
    attack = plug("attacks", "random-noise", tries=70)
    assert attack.scope == "sample"
    todo = asked(2)
    dark, bright = attack.craft(victim, todo, seed=4)
    assert (dark.sample_id, bright.sample_id) == ("s0", "s1")
    assert dark.cost.forward == 70
    assert min(dark.trace["loss"]) == pytest.approx(dark.trace["loss_after_rounding"], abs=1e-6)
    assert dark.images[0].array().mean() < 128 < bright.images[0].array().mean()
    assert np.abs(dark.images[0].array().astype(int) - 128).max() <= 16
    assert attack.apply(dark, todo[0]).images == dark.images


def test_the_first_try_is_the_noise_of_a_single_try():
    victim = Scripted(lambda x, names: torch.arange(len(x)).float())  # the first of every batch has the lowest loss
    (best,) = plug("attacks", "random-noise", tries=5).craft(victim, asked(), seed=9)
    single = plug("attacks", "random-noise")
    (empty,) = single.craft(victim, asked(), seed=9)
    assert single.apply(empty, asked()[0]).images == best.images


# ------------------------------------------------------------------------------------------------ parameters


@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        ("pgd", {"epsilon": 8}, "epsilon.*8/255"),
        ("pgd", {"norm": "l1"}, "norm: expected linf or l2"),
        ("pgd", {"momentum": "l1", "norm": "l2"}, "momentum"),
        ("pgd", {"momentum": "heavy"}, "momentum: expected"),
        ("pgd", {"momentum_decay": -1.0, "momentum": "sign"}, "decay"),
        ("pgd", {"step_size": 0.0}, "step_size"),
        ("pgd", {"init": "face"}, "init"),
        ("pgd", {"select": "checked"}, "select"),
        ("pgd", {"norm": "l2", "epsilon": 0}, "epsilon"),
        ("pgd", {"restarts": 0}, "restarts"),
        ("apgd", {"epsilon": 8}, "epsilon.*8/255"),
        ("apgd", {"rho": 2.0}, "rho: expected 0 to 1"),
        ("apgd", {"momentum": -0.1}, "momentum: expected 0 to 1"),
        ("apgd", {"step_size": 0.0}, "step_size"),
        ("apgd", {"init": "face"}, "init"),
        ("apgd", {"steps": -1}, "steps"),
        ("square", {"epsilon": 8}, "epsilon.*8/255"),
        ("square", {"p_init": 1.2}, "p_init"),
        ("square", {"batch": 0}, "batch"),
        ("black-box-pgd", {"kind": "zoo"}, "kind: expected spsa, nes or rgf"),
        ("black-box-pgd", {"sigma": 2.5}, "sigma: expected more than 0 and at most 1"),
        ("black-box-pgd", {"draws": 0}, "draws"),
        ("black-box-pgd", {"rule": "sgd"}, "rule: expected adam or sign"),
        ("black-box-pgd", {"epsilon": 8}, "epsilon.*8/255"),
        ("random-noise", {"tries": 0}, "tries: expected at least 1"),
    ],
)
def test_bad_parameters_name_the_field(name, bad, message):
    with pytest.raises(ValueError, match=message):
        plug("attacks", name, **bad)
