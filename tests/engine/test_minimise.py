"""The pixel loop against values worked out by hand (golden values G1-G5, G15 of the method pages)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.by_hand import Function, as_picture, linear, quadratic
from proofglass.engine import Box, Differentiable, LInf, Schedule, SignStep, minimise, quantise
from proofglass.engine.progress import watched_by
from proofglass.types import Budget


def test_projection_clips_to_the_ball_and_the_box():  # G3
    x0, z = as_picture(0.02, 0.5, 0.97, 0.4), as_picture(-0.1, 0.6, 1.2, 0.45)
    found = LInf(16 / 255).project(z, x0)[0, 0].flatten()
    torch.testing.assert_close(found, torch.tensor([0.0, 0.5627451, 1.0, 0.45]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("steps", "levels"),
    [
        (1, (-1, 1, 1, 1)),
        (2, (-2, 2, 2, 2)),
        (3, (-3, 3, 3, 3)),
        (4, (-4, 4, 4, 2)),
        (5, (-4, 4, 4, 3)),
        (6, (-4, 4, 4, 2)),
    ],
)
def test_sign_descent_walks_the_trajectory_worked_out_by_hand(steps, levels):  # G4
    x0 = as_picture(0.02, 0.5, 0.97, 0.4)
    found = minimise(
        quadratic(), x0, constraint=LInf(4 / 255, "clean"), step=SignStep(1 / 255), schedule=Schedule(steps)
    )
    moved = ((found.x - x0) * 255)[0, 0].flatten()
    torch.testing.assert_close(moved, torch.tensor(levels, dtype=torch.float32), atol=1e-3, rtol=0)


def test_best_loss_returns_step_five_and_last_returns_step_six():  # G4: J_5 = 8.0690e-5 < J_6 = 8.1459e-5
    x0 = as_picture(0.02, 0.5, 0.97, 0.4)
    run = {"constraint": LInf(4 / 255, "clean"), "step": SignStep(1 / 255), "schedule": Schedule(6)}
    best, last = (minimise(quadratic(), x0, select=mode, **run) for mode in ("best", "last"))
    assert float(best.loss[0]) == pytest.approx(8.0690119e-5, abs=1e-9)
    assert float(last.loss[0]) == pytest.approx(8.1459054e-5, abs=1e-9)
    assert last.losses[0][1] == pytest.approx(5.7626874e-4, abs=1e-8)  # J of the iterate after ONE step


def test_sign_descent_on_a_linear_loss_ends_in_the_corner_of_the_ball():
    # min a.x over ||x - x0||_inf <= eps is a.x0 - eps * ||a||_1 (Hoelder) = -0.3 - 3.6 * 8/255
    a = as_picture(0.5, -2.0, 1.0, -0.1)
    found = minimise(
        linear(a), torch.full_like(a, 0.5), constraint=LInf(8 / 255), step=SignStep(1 / 255), schedule=Schedule(20)
    )
    torch.testing.assert_close(found.loss, torch.tensor([-0.4129411764705882]))
    torch.testing.assert_close(found.x[0, 0], (0.5 - 8 / 255 * a.sign())[0, 0])


def test_unbounded_steps_follow_the_closed_form():  # G15: x_i = clip(x_0 - i * alpha * sign c, 0, 1)
    c = as_picture(1.0, -1.0, 2.0, -0.5)
    x0 = torch.full_like(c, 0.5)
    for steps in (1, 7, 200):
        found = minimise(linear(c), x0, constraint=Box("clean"), step=SignStep(1 / 255), schedule=Schedule(steps))
        torch.testing.assert_close(found.x, (x0 - steps / 255 * c.sign()).clamp(0, 1), atol=2e-5, rtol=0)


def test_bounded_steps_reach_the_corner_after_two_epsilon_over_alpha():  # G15: 32 steps for 16/255 from anywhere
    c = as_picture(1.0, -1.0, 2.0, -0.5)
    x0 = torch.full_like(c, 0.5)
    found = minimise(linear(c), x0, constraint=LInf(16 / 255), step=SignStep(1 / 255), schedule=Schedule(32), seed=3)
    wanted = (x0 - 16 / 255 * c.sign()).clamp(0, 1)
    torch.testing.assert_close(found.x[0, 0], wanted[0, 0], atol=1e-6, rtol=0)


def test_rounding_stays_in_the_ball_for_every_grey_level_and_truncation_would_not():  # G2
    clean = np.arange(256, dtype=np.float32) / 255
    attacked = torch.from_numpy(np.clip(clean - np.float32(8 / 255), 0, 1))
    picture = quantise(attacked.expand(1, 3, 1, 256))[0].array()[0, :, 0].astype(int)
    truncated = (attacked.numpy() * np.float32(255)).astype(np.uint8).astype(int)
    assert np.abs(picture - np.arange(256)).max() == 8
    assert (np.abs(truncated - np.arange(256)) == 9).sum() == 15


def test_half_rounds_up():
    assert quantise(torch.full((1, 3, 1, 1), 0.5))[0].array()[0, 0, 0] == 128


def test_the_callers_picture_is_never_changed():
    x0 = as_picture(0.2, 0.4, 0.6, 0.8)
    kept = x0.clone()
    minimise(quadratic(), x0, constraint=LInf(0.1), step=SignStep(0.01), schedule=Schedule(5))
    assert torch.equal(x0, kept)


def test_a_batch_equals_its_single_runs():
    torch.manual_seed(0)
    a, x0 = torch.randn(3, 3, 4, 4), torch.rand(3, 3, 4, 4)
    run = {"step": SignStep(0.01), "schedule": Schedule(9)}
    whole = minimise(linear(a), x0, constraint=LInf(0.05, "clean"), **run)
    for b in range(3):
        one = minimise(linear(a[b : b + 1]), x0[b : b + 1], constraint=LInf(0.05, "clean"), **run)
        assert torch.equal(one.x[0], whole.x[b])


def test_the_random_start_depends_on_the_seed_and_the_row_only():
    x0 = torch.full((2, 3, 4, 4), 0.5)
    run = {"constraint": LInf(0.1), "step": SignStep(0.01), "schedule": Schedule(0)}
    first, again, other = (minimise(linear(x0), x0, seed=s, **run).x for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    assert float((first - x0).abs().max()) <= 0.1 + 1e-6


def test_a_gradient_that_stays_non_finite_stops_that_picture_only():
    def broken(x, rows):
        return x.flatten(1).sum(1) * torch.tensor([float("nan"), 1.0])[rows]

    x0 = torch.full((2, 3, 2, 2), 0.5)
    found = minimise(Differentiable(broken, 2), x0, constraint=Box("clean"), step=SignStep(0.01), schedule=Schedule(12))
    assert found.nonfinite == [5, 0]
    assert "not finite" in found.stopped[0]
    assert found.stopped[1] == ""
    assert torch.equal(found.x[0], x0[0])
    assert float(found.x[1].max()) < 0.5
    alone = minimise(
        Function(lambda x: x.flatten(1).sum(1) * float("inf")),
        x0[:1],
        constraint=Box("clean"),
        step=SignStep(0.01),
        schedule=Schedule(12),
    )
    assert "not finite" in alone.stopped[0]
    assert alone.nonfinite == [5]


def test_a_budget_is_never_passed():
    f = quadratic()
    found = minimise(
        f,
        as_picture(0.1, 0.2, 0.3, 0.4),
        constraint=Box("clean"),
        step=SignStep(0.01),
        schedule=Schedule(50),
        budget=Budget(30),
    )
    assert found.cost.backward == 10
    assert "budget of 30" in found.stopped[0]


def test_a_sampled_objective_cannot_be_selected_by_loss():
    f = quadratic()
    f.fixed = False
    with pytest.raises(ValueError, match="sampled"):
        minimise(
            f, as_picture(0.1, 0.2, 0.3, 0.4), constraint=Box(), step=SignStep(0.1), schedule=Schedule(1), select="best"
        )


@pytest.mark.parametrize("bad", [torch.full((1, 3, 2, 2), 1.5), torch.full((1, 3, 2, 2), -0.1), torch.zeros(3, 2, 2)])
def test_a_start_that_is_no_picture_is_refused(bad):
    with pytest.raises(ValueError, match="x0"):
        minimise(quadratic(), bad, constraint=Box(), step=SignStep(0.1), schedule=Schedule(1))


@pytest.mark.parametrize("epsilon", [0, -0.1, 16, 300])
def test_an_epsilon_in_grey_levels_is_refused(epsilon):
    with pytest.raises(ValueError, match="epsilon") as error:
        LInf(epsilon)
    assert ("write 16/255?" in str(error.value)) == (epsilon == 16)


def test_cosine_schedule_starts_at_one_and_halves_in_the_middle():  # G19's form with eta_min = 0
    schedule = Schedule(100, "cosine")
    assert schedule.scale(0) == 1
    assert schedule.scale(50) == pytest.approx(0.5)
    assert schedule.scale(99) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.99)))


def test_a_watcher_sees_every_step():
    seen = []
    with watched_by(lambda pace: seen.append((pace.step, pace.steps))):
        minimise(
            quadratic(), as_picture(0.1, 0.2, 0.3, 0.4), constraint=Box(), step=SignStep(0.1), schedule=Schedule(3)
        )
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("budget", "select", "restarts", "total"),
    # A step costs 1 forward + 1 backward = 3. 50 pays for 16 and leaves 2; a look at the last iterate costs 1 more,
    # and 49 pays for 16 too; 9 with that look pays for (9 - 1) / 3 = 2; nothing is shown beyond what was asked for.
    [(50, "last", 1, 16), (50, "best", 1, 16), (9, "best", 1, 2), (1000, "last", 1, 100), (50, "last", 4, 16)],
)
def test_the_steps_that_a_watcher_is_told_of_are_those_that_the_budget_pays(budget, select, restarts, total):
    seen = []
    with watched_by(lambda pace: seen.append((pace.step, pace.steps))):
        minimise(
            quadratic(),
            as_picture(0.1, 0.2, 0.3, 0.4),
            constraint=Box(),
            step=SignStep(0.001),
            schedule=Schedule(100, restarts=restarts),
            budget=Budget(budget),
            select=select,
        )
    assert [steps for _, steps in seen] == [total] * len(seen)
    assert seen[-1][0] == total


@given(st.integers(0, 10_000), st.sampled_from([1, 2, 8, 16, 64, 255]))
def test_every_iterate_stays_in_the_ball_and_the_box(seed, levels):
    epsilon = levels / 255
    noise = torch.Generator().manual_seed(seed)
    x0, a = torch.rand(1, 3, 3, 3, generator=noise), torch.randn(1, 3, 3, 3, generator=noise)
    found = minimise(linear(a), x0, constraint=LInf(epsilon), step=SignStep(0.03), schedule=Schedule(6), seed=seed)
    assert float((found.x - x0).abs().max()) <= epsilon + 1e-6
    assert float(found.x.min()) >= 0
    assert float(found.x.max()) <= 1
