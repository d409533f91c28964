"""What is saved lies in its ball: rounding to 8 bit inside every radius, and as near to what was found as fits."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import toy_objectives as toys
from proofglass.attacks.image.fu2023 import ChannelBall
from proofglass.engine import (
    L2,
    Border,
    Box,
    Check,
    LInf,
    Patch,
    Rows,
    Schedule,
    SignStep,
    Within,
    check_epsilon,
    check_radius,
    minimise,
)
from proofglass.engine.rounding import nearest, whole_levels

SEEDS = st.integers(0, 10**6)


def on_levels(seed, side=6, count=2):
    """Pictures as a victim takes them from files: float32 of whole levels."""
    return torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(seed)) / 255


def grey(side, level=128):
    return torch.full((1, 3, side, side), level / 255)


def found(x0, constraint, step=0.05, steps=8, seed=0, **run):
    a = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed + 1))
    return minimise(
        toys.linear(a), x0, constraint=constraint, step=SignStep(step), schedule=Schedule(steps), seed=seed, **run
    )


@pytest.mark.parametrize(("epsilon", "levels"), [(0.03, 7), (2.5 / 255, 2), (1 / 255, 1), (0.0627451, 16), (1.0, 127)])
def test_a_radius_between_two_levels_is_used_up_to_the_lower_one(epsilon, levels):
    # .03 is 7.65 levels: nearest would save 8. 16/255 typed with seven digits is 16 levels. Grey 128 has 127 above.
    moved = (found(grey(4), LInf(epsilon)).levels.int() - 128).abs()
    assert int(moved.max()) == (128 if epsilon == 1 else levels)


@pytest.mark.parametrize("field", ["epsilon", "radius"])
@pytest.mark.parametrize("check", [check_epsilon, check_radius])
def test_a_radius_that_holds_no_picture_but_the_clean_one_is_refused(check, field):
    with pytest.raises(ValueError, match=rf"^{field}: 0\.00156863 is 0\.4 of a grey level.*1/255 or more"):
        check(0.4 / 255, field)
    check(1 / 255, field)
    with pytest.raises(ValueError, match="write 16/255"):
        check_epsilon(16, field)


@given(SEEDS, st.integers(1, 255))
def test_whole_levels_are_rounded_to_the_nearest_as_ever(seed, levels):
    x0 = on_levels(seed)
    noise = torch.rand(x0.shape, generator=torch.Generator().manual_seed(seed + 1))
    for ball in (LInf(levels / 255), LInf(levels / 255, "face"), Within(LInf(levels / 255), Patch(3, 2))):
        x = ball.begin(x0, noise)
        assert torch.equal(ball.rounded(x, x0), nearest(x))
    x = torch.rand(x0.shape, generator=torch.Generator().manual_seed(seed + 2))
    assert whole_levels(levels / 255) == levels
    assert torch.equal(
        LInf(levels / 255).rounded(LInf(levels / 255).project(x, x0), x0), nearest(LInf(levels / 255).project(x, x0))
    )


@pytest.mark.parametrize(("epsilon", "side"), [(0.5, 32), (1.0, 56), (0.1, 84), (0.5, 84), (2.0, 32), (12.0, 32)])
def test_an_l2_picture_is_saved_inside_its_ball_and_uses_it(epsilon, side):
    # Nearest rounding of a point on the face saves 0.534 of 0.5 where a value moves by several levels, and nothing at
    # all where 0.1 is spread over so many values that each moves by 0.17 levels.
    ball = L2(epsilon)
    x0 = on_levels(3, side, 1)
    x = ball.begin(x0, torch.rand(x0.shape, generator=torch.Generator().manual_seed(4)))
    moved = ball.rounded(x, x0) - nearest(x0)
    assert math.sqrt(int((moved**2).sum())) / 255 <= epsilon
    # It falls short by less than one more level of one value: sqrt(s + 2 d + 1) - sqrt(s), d at most 8 here.
    assert float(moved.norm()) / 255 > float((x - x0).norm()) - 17 / 255 / math.sqrt(float((moved**2).sum()))
    assert torch.equal(moved.sign().abs() * (x - x0).sign(), moved.sign())  # never away from where x went


def test_a_ball_too_thin_for_the_nearest_levels_takes_the_values_that_moved_most():
    # |delta| = 0.1 is 25.5 levels; over 3 * 336 * 336 values none moves by half a level, so nearest saves the clean
    # picture. One level each for 650 values is all that fits: 650 <= 25.5^2 = 650.25.
    x0 = grey(336)
    x = L2(0.1).begin(x0, torch.rand(x0.shape, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(nearest(x), nearest(x0))
    moved = L2(0.1).rounded(x, x0) - nearest(x0)
    assert int(moved.abs().sum()) == int((moved**2).sum()) == 650
    most = (x - x0).abs().flatten().topk(650).indices
    assert bool((moved.flatten()[most] != 0).all())


def test_the_nearest_levels_are_saved_wherever_they_lie_in_the_ball():
    x0 = grey(2)
    x = x0 + torch.tensor([2.3, -1.6, 0.4, 0.0] * 3).reshape(1, 3, 2, 2) / 255
    moved = L2(1.0).rounded(x, x0) - 128
    # 3 x (4 + 4 + 0) = 24 against |delta|^2 = 3 x 8.01 = 24.03: no other value may be made longer
    assert moved[0, 0].flatten().tolist() == [2, -2, 0, 0]
    # A radius of 3 levels shortens it by 3 / 4.902 = .612: 1.41, -.98, .24 a channel, cut down to 1, 0, 0 (3 in all).
    # The rests of .98 first: -1 in each channel (6 in all); then those of .41, whose second level costs 3: one of them.
    tight = L2(3 / 255).rounded(x, x0) - 128
    assert tight[0].flatten(1).tolist() == [[2, -1, 0, 0], [1, -1, 0, 0], [1, -1, 0, 0]]


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(1 / 255, 3), st.floats(1 / 255, 1), st.booleans())
def test_radii_hold_on_disk_for_every_set(seed, radius, epsilon, whole):
    x0 = on_levels(seed) if whole else toys.pictures(seed, 2)  # a victim's pixels may lie between levels
    start = toys.pictures(seed + 1, 2, -1.0, 2.0)
    clean = nearest(x0)
    norm, most = 255 * radius * (1 + 1e-9), 255 * epsilon + 1e-4

    def saved(c):
        levels = c.rounded(c.project(start, x0), x0)
        assert torch.equal(levels, levels.round())
        assert 0 <= float(levels.min()) <= float(levels.max()) <= 255
        return levels - clean

    assert float(saved(LInf(epsilon)).abs().max()) <= most
    assert float(saved(L2(radius)).flatten(1).norm(dim=1).max()) <= norm
    both = saved(ChannelBall(radius, epsilon))
    assert float(both.flatten(2).norm(dim=2).max()) <= norm
    assert float(both.abs().max()) <= most
    assert float(saved(ChannelBall(None, epsilon)).abs().max()) <= most
    for region in (Patch(2, 3), Border(1), Rows(2)):
        outside = ~region.mask(6, 6)
        for inner in (LInf(epsilon), L2(radius), Box()):
            moved = saved(Within(inner, region))
            assert not bool(moved[..., outside].any())
            if isinstance(inner, L2):
                assert float(moved.flatten(1).norm(dim=1).max()) <= norm


def test_a_batch_is_rounded_as_its_pictures_alone():
    x0 = on_levels(1, count=3)
    x = L2(0.4).project(toys.pictures(2, 3), x0)
    whole = L2(0.4).rounded(x, x0)
    for b in range(3):
        assert torch.equal(L2(0.4).rounded(x[b : b + 1], x0[b : b + 1])[0], whole[b])


def test_checks_see_what_is_saved_and_the_trace_says_how_far_it_is():
    seen = []

    def score(pictures, rows):
        seen.append(pictures[0])
        return [0.0]

    made = found(grey(4), LInf(0.03), check=Check(100, score))
    assert made.images() == [seen[-1]]
    trace = made.trace()
    assert trace["linf_levels"] == 7
    moved = torch.from_numpy(made.images()[0].array().astype(float) - 128)
    assert trace["l2"] == pytest.approx(float(moved.norm()) / 255)
    one = grey(2).clone()
    one[0, 0, 0, 0] += 3 / 255
    # 3 levels in one value: 3/255 = .011765 in [0, 1] units
    stays = minimise(
        toys.quadratic(one), grey(2), constraint=Box("clean"), step=SignStep(3 / 255), schedule=Schedule(1)
    ).trace()
    assert (stays["linf_levels"], stays["l2"]) == (3, pytest.approx(3 / 255))


def test_a_strangers_constraint_without_a_rounding_of_its_own_is_rounded_to_the_nearest():
    class Mine:
        def begin(self, x0, noise):
            return x0 + 0.3 / 255

        def project(self, x, x0):
            return x.clamp(0, 1)

        def free(self, x0):
            return None

    made = minimise(toys.linear(torch.ones(1, 3, 2, 2)), grey(2), constraint=Mine(), step=SignStep(1 / 255),
                    schedule=Schedule(2))  # fmt: skip
    assert made.levels.unique().tolist() == [126]  # 128.3 - 2
