"""The pixel loop against values worked out by hand (golden values G1-G5, G15 of the method pages)."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import toy_objectives as toys
from proofglass.engine import (
    Box,
    Check,
    Cycle,
    Differentiable,
    Estimated,
    LInf,
    Look,
    Patch,
    Placed,
    Schedule,
    SignStep,
    Spectrum,
    Transformed,
    Weighted,
    Within,
    mean_of,
    minimise,
    negated,
    quantise,
    replies_cost,
)
from proofglass.engine.memory import NOTHING
from proofglass.engine.progress import watched_by
from proofglass.engine.transfer import Resized
from proofglass.errors import ZeroGradient
from proofglass.types import Budget, Cost, Reply


class Function(Differentiable):
    """A toy objective on [B, 3, H, W]."""

    def __init__(self, f, count=None):
        super().__init__(lambda x, rows: f(x), count or 1)

    def rows(self, picks):
        return self


def linear(a):  # a: one picture of weights, or one per picture
    return Function(lambda x: (a * x).flatten(1).sum(1))


def as_picture(*values):
    """Four numbers as the first channel of a 2 x 2 picture; the other channels are zero."""
    x = torch.zeros(1, 3, 2, 2)
    x[0, 0] = torch.tensor(values).reshape(2, 2)
    return x


def test_projection_clips_to_the_ball_and_the_box():  # G3
    x0, z = as_picture(0.02, 0.5, 0.97, 0.4), as_picture(-0.1, 0.6, 1.2, 0.45)
    found = LInf(16 / 255).project(z, x0)[0, 0].flatten()
    torch.testing.assert_close(found, torch.tensor([0.0, 0.5627451, 1.0, 0.45]), atol=1e-6, rtol=0)


def quadratic():
    w, t = as_picture(1.0, 2.0, 0.5, 1.0), as_picture(0.0, 0.52, 1.0, 0.41)
    return Function(lambda x: 0.5 * (w * (x - t) ** 2).flatten(1).sum(1))


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


# ------------------------------------------------------------------------------------------------ budgets


def spent(cost):
    return cost.forward + 2 * cost.backward + cost.queries


@settings(max_examples=60, deadline=None)
@given(
    budget=st.integers(0, 60),
    steps=st.integers(0, 12),
    restarts=st.integers(1, 3),
    every=st.integers(1, 5),
    queries=st.integers(0, 4),
    select=st.sampled_from(["last", "best", "checked"]),
    checked=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_no_budget_is_passed_by_steps_looks_or_restarts(budget, steps, restarts, every, queries, select, checked, seed):
    asked = []

    def score(images, rows):
        asked.extend(rows)
        return [image.array().mean() / 255 for image in images]

    found = minimise(
        toys.linear(toys.pictures(seed, 2, -1.0)),
        toys.pictures(seed + 1, 2),
        constraint=LInf(0.05),
        step=SignStep(0.02),
        schedule=Schedule(steps, restarts=restarts),
        budget=Budget(budget),
        select=select,
        check=Check(every, score, stop_at=2.0, queries=queries) if checked or select == "checked" else None,
        seed=seed,
    )
    assert all(spent(cost) <= budget for cost in found.costs)
    assert sum(cost.queries for cost in found.costs) == queries * len(asked)
    one_more = 4 + 2 * queries  # a step, two looks, and the value of the last iterate
    for b in range(2):
        if found.stopped[b]:
            assert "budget" in found.stopped[b]
            assert spent(found.costs[b]) > budget - one_more
        else:
            assert found.steps[b] == steps * restarts


@pytest.mark.parametrize("select", ["last", "best"])
def test_a_budget_smaller_than_a_first_step_buys_nothing_and_leaves_the_start(select):
    x0 = as_picture(0.1, 0.2, 0.3, 0.4)
    looked = []
    f = toys.Recorded(quadratic())
    run = {"constraint": LInf(0.1), "step": SignStep(0.01), "schedule": Schedule(5), "seed": 4, "select": select}
    for budget in (Budget(0), Budget(2), Budget(2.9), Budget(0, "seconds")):
        found = minimise(f, x0, budget=budget, check=Check(1, lambda images, rows: looked.append(1), queries=0), **run)
        assert found.costs[0] == Cost()
        assert "budget" in found.stopped[0]
        assert found.losses[0] == pytest.approx([float(quadratic().value(found.x).loss[0])])
    assert not f.calls
    assert not looked
    start = minimise(f, x0, **{**run, "schedule": Schedule(0)}).x
    assert torch.equal(found.x, start)


def prices():
    t = toys.pictures(3, 2)
    two = Weighted([(1.0, toys.quadratic(t)), (-2.0, Differentiable(lambda x, rows: x.flatten(1).sum(1), 2, passes=0))])
    return {
        "one": toys.quadratic(t),
        "negated": negated(toys.quadratic(t)),
        "with a penalty": two,
        "mean of two": mean_of([toys.quadratic(t), toys.linear(t)]),
        "spsa": Estimated(toys.quadratic(t), "spsa", 0.01, 5, [1, 2]),
        "rgf": Estimated(toys.quadratic(t), "rgf", 0.01, 5, [1, 2]),
        "transformed": Transformed(toys.quadratic(t), Spectrum(), 3, [1, 2]),
        "placed": Placed(toys.quadratic(t), toys.pictures(5, 2), [1, 2]),
        "cycle": Cycle([toys.quadratic(t), toys.linear(t)]),
        "resized": Resized(toys.quadratic(t), (6, 6)),
    }


@pytest.mark.parametrize("name", prices())
def test_a_step_and_a_look_cost_what_their_objective_says(name):
    objective, x = prices()[name], toys.pictures(4, 2)
    step, look = objective(x, 0), objective.value(x)
    assert objective.price(True) * 2 == Cost(forward=step.forward, backward=step.backward)
    assert objective.price(False) * 2 == Cost(forward=look.forward)


def test_a_budget_that_pays_every_step_is_no_reason_to_stop():
    run = {"constraint": Box("clean"), "step": SignStep(0.01), "schedule": Schedule(10)}
    paid, short = (minimise(quadratic(), as_picture(0.1, 0.2, 0.3, 0.4), budget=Budget(b), **run) for b in (30, 29))
    assert (paid.stopped, paid.steps) == ([""], [10])
    assert short.steps == [9]
    assert "budget of 29 forward equivalents per picture" in short.stopped[0]


def test_pictures_out_of_budget_get_their_last_look_each():
    # Regression: the first of two succeeds at the look that the budget leaves; the second must still be handed over.
    t = torch.tensor([0.9, 0.1])[:, None, None, None].expand(2, 3, 6, 6)
    found = minimise(
        toys.quadratic(t),
        torch.full((2, 3, 6, 6), 0.5),
        constraint=Box("clean"),
        step=SignStep(0.01),
        schedule=Schedule(50),
        budget=Budget(20),
        check=Check(100, lambda images, rows: [float(image.array().mean() > 129) for image in images]),
    )
    assert found.succeeded == [True, False]
    assert found.stopped[0] == f"succeeded at step {found.steps[0]}"
    assert "budget" in found.stopped[1]
    torch.testing.assert_close(found.x[1], torch.full((3, 6, 6), 0.5 - 0.01 * found.steps[1]))


def test_a_budget_in_seconds_ends_the_search_and_keeps_what_was_found():
    found = minimise(
        quadratic(),
        as_picture(0.1, 0.2, 0.3, 0.4),
        constraint=Box("clean"),
        step=SignStep(1e-4),
        schedule=Schedule(10**7, restarts=5),
        budget=Budget(0.2, "seconds"),
        select="best",
    )
    assert 0.2 <= found.seconds < 5
    assert found.stopped == ["budget of 0.2 s spent"]
    assert found.loss < quadratic().value(as_picture(0.1, 0.2, 0.3, 0.4)).loss


# ------------------------------------------------------------------------------------------------ what is chosen


def test_the_last_iterate_is_a_candidate_for_the_best():
    # one step down a slope: the better picture is the one after the last gradient
    found = minimise(
        linear(as_picture(1.0, 1.0, 1.0, 1.0)),
        as_picture(0.5, 0.5, 0.5, 0.5),
        constraint=Box("clean"),
        step=SignStep(0.1),
        schedule=Schedule(1),
        select="best",
    )
    assert float(found.loss[0]) == pytest.approx(1.6)
    assert found.losses[0] == pytest.approx([2.0, 1.6])


@pytest.mark.parametrize("select", ["last", "best", "checked"])
@pytest.mark.parametrize("restarts", [1, 3])
@pytest.mark.parametrize(("steps", "every"), [(7, 3), (6, 3), (1, 5), (0, 1)])
def test_losses_belong_to_their_iterates_and_every_period_looks_at_the_last(select, restarts, steps, every):
    looked = []

    def score(images, rows):
        looked.append(images[0])
        return [1 - image.array().mean() / 300 for image in images]

    f = toys.Recorded(quadratic())
    found = minimise(
        f,
        as_picture(0.02, 0.5, 0.97, 0.4),
        constraint=LInf(0.1),
        step=SignStep(0.03),
        schedule=Schedule(steps, restarts=restarts),
        select=select,
        check=Check(every, score, stop_at=None),
        seed=2,
    )
    looks = [*range(0, steps, every), steps]
    assert len(looked) == len(looks) * restarts
    assert len(f.seen) == steps * restarts
    # the run that counts: its losses are those of its iterates, in order
    runs = [f.seen[k * steps : (k + 1) * steps] for k in range(restarts)]
    of_runs = [[float(quadratic().value(x).loss[0]) for x in run] for run in runs]
    assert any(found.losses[0][:steps] == pytest.approx(losses) for losses in of_runs)
    assert len(found.losses[0]) in (steps, steps + 1)
    if select != "checked":
        chosen = found.losses[0][-1] if select == "last" else min(found.losses[0])
        assert float(found.loss[0]) == pytest.approx(chosen, rel=1e-6)
        assert len(found.losses[0]) == steps + 1
    else:
        darkest = min(looked, key=lambda image: int(image.array().astype(int).sum()))
        assert found.images()[0].array().astype(int).sum() == darkest.array().astype(int).sum()


def test_the_best_of_the_restarts_counts_and_no_run_of_nan_stands_in_its_way():
    starts = []

    def f(x, rows):
        return x.flatten(1).sum(1) if len(starts) > 3 else x.flatten(1).sum(1) * float("nan")

    class Late(toys.Recorded):
        def __call__(self, x, step, *, need_grad=True, memory=NOTHING):
            starts.append(step)
            return super().__call__(x, step, need_grad=need_grad)

    found = minimise(
        Late(Differentiable(f, 1)),
        as_picture(0.5, 0.5, 0.5, 0.5),
        constraint=LInf(0.2),
        step=SignStep(0.05),
        schedule=Schedule(3, restarts=2),
    )
    assert math.isfinite(float(found.loss[0]))
    assert float(found.x.mean()) < 0.15


def test_a_success_is_kept_over_restarts_and_costs_nothing_more():
    calls = []

    def score(images, rows):
        calls.append(list(rows))
        return [float(b == 1) for b in rows]

    found = minimise(
        toys.quadratic(toys.pictures(1, 3)),
        toys.pictures(2, 3),
        constraint=LInf(0.1),
        step=SignStep(0.02),
        schedule=Schedule(4, restarts=2),
        check=Check(2, score),
        select="best",
    )
    assert found.succeeded == [False, True, False]
    assert found.steps == [8, 0, 8]
    assert found.costs[1].backward == 0
    assert all(1 not in rows for rows in calls[1:])
    assert [len(losses) for losses in found.losses] == [5, 1, 5]


def test_checked_success_stays_a_success_when_later_looks_fail():
    scores = iter([0.2, 1.0, 0.4, 0.3])
    found = minimise(
        quadratic(),
        as_picture(0.1, 0.2, 0.3, 0.4),
        constraint=Box("clean"),
        step=SignStep(0.01),
        schedule=Schedule(3),
        check=Check(1, lambda images, rows: [next(scores)], stop_at=None),
        select="checked",
    )
    assert found.succeeded == [True]
    moved = (found.x - as_picture(0.1, 0.2, 0.3, 0.4))[0, 0].abs().max()
    assert float(moved) == pytest.approx(0.01, abs=1e-6)  # the iterate after one step, the one that scored 1


def test_a_first_gradient_of_zero_is_an_error_unless_some_picture_has_one():
    flat = Differentiable(
        lambda x, rows: (x * torch.tensor([0.0, 1.0])[rows][:, None, None, None]).flatten(1).sum(1), 2
    )
    run = {"constraint": Box("clean"), "step": SignStep(0.1), "schedule": Schedule(2)}
    with pytest.raises(ZeroGradient, match="does not depend on the picture"):
        minimise(flat.rows([0]), torch.full((1, 3, 2, 2), 0.5), **run)
    found = minimise(flat, torch.full((2, 3, 2, 2), 0.5), **run)
    assert found.zeros == [1.0, 0.0]
    assert torch.equal(found.x[0], torch.full((3, 2, 2), 0.5))


def test_zero_gradients_are_counted_inside_the_region_only():
    x0 = toys.pictures(1)
    half = torch.ones(1, 3, 6, 6)
    half[..., 0] = 0  # of 3 columns of the patch, the first has no gradient
    found = minimise(
        Differentiable(lambda x, rows: (half * x).flatten(1).sum(1), 1),
        x0,
        constraint=Within(Box("clean"), Patch(2, 3, 0.0, 0.0)),
        step=SignStep(0.1),
        schedule=Schedule(1),
    )
    assert found.zeros[0] == pytest.approx(1 / 3, abs=1e-5)


def test_some_non_finite_values_stop_nothing_if_they_pass():
    left = iter([True, True, True, True, False, True, True, True, True])

    def f(x, rows):
        return x.flatten(1).sum(1) * (float("inf") if next(left, False) else 1.0)

    found = minimise(
        Differentiable(f, 1),
        torch.full((1, 3, 2, 2), 0.5),
        constraint=Box("clean"),
        step=SignStep(0.01),
        schedule=Schedule(10),
    )
    assert (found.nonfinite, found.stopped, found.steps) == ([8], [""], [10])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_start_that_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match="x0"):
        minimise(quadratic(), torch.full((1, 3, 2, 2), bad), constraint=Box(), step=SignStep(0.1), schedule=Schedule(1))


def test_wrong_requests_name_the_field():
    run = {"constraint": Box(), "step": SignStep(0.1), "schedule": Schedule(1)}
    x0 = as_picture(0.1, 0.2, 0.3, 0.4)
    with pytest.raises(ValueError, match="select: expected"):
        minimise(quadratic(), x0, select="first", **run)
    with pytest.raises(ValueError, match="'checked' needs a check"):
        minimise(quadratic(), x0, select="checked", **run)
    with pytest.raises(ValueError, match="seed: expected one seed or 1"):
        minimise(quadratic(), x0, seed=[1, 2], **run)
    for bad in ({"steps": -1}, {"steps": 1, "restarts": 0}, {"steps": 1, "period": 0}, {"steps": 1, "decay": "linear"}):
        with pytest.raises(ValueError, match=r"steps|restarts|period|decay"):
            Schedule(**bad)
    with pytest.raises(ValueError, match="every"):
        Check(0, lambda images, rows: [])


@given(st.floats(0, 5000), st.integers(0, 300), st.integers(1, 4), st.sampled_from([1, 3, 17]))
def test_a_schedule_within_a_budget_pays_for_all_its_steps_and_no_more(budget, steps, restarts, price):
    cost = Cost(forward=price)
    shorter = Schedule(steps, restarts=restarts).within(Budget(budget), price=cost)
    assert shorter.steps <= steps
    assert not shorter.steps or shorter.restarts * (shorter.steps * price + 1) <= budget
    if shorter.steps < steps:
        assert restarts * ((shorter.steps + 1) * price + 1) > budget
    assert Schedule(steps).within(None, price=cost) == Schedule(steps)
    for unit in ("seconds", "tokens", "money"):  # of which a step costs nothing
        assert Schedule(steps).within(Budget(1, unit), price=cost) == Schedule(steps)


def test_a_trace_is_plain_json():
    found = minimise(
        quadratic(),
        as_picture(0.1, 0.2, 0.3, 0.4),
        constraint=Box("clean"),
        step=SignStep(0.01),
        schedule=Schedule(2),
        check=Check(1, lambda images, rows: [np.float32(0.5)]),
    )
    trace = json.loads(json.dumps(found.trace()))
    assert trace["steps"] == 2
    assert len(trace["loss"]) == 3
    assert trace["succeeded"] is False
    assert found.cost.queries == 3


def test_a_start_of_the_callers_is_the_first_iterate_inside_the_set_and_of_the_first_restart_only():
    x0, start = toys.pictures(1, 2), toys.pictures(2, 2)
    kept, f = start.clone(), toys.Recorded(toys.linear(toys.pictures(3, 2, -1.0)))
    minimise(
        f, x0, constraint=LInf(0.1), step=SignStep(0.01), schedule=Schedule(3, restarts=2), start=start, select="best"
    )
    assert torch.equal(f.seen[0], LInf(0.1).project(start, x0))
    assert not torch.equal(f.seen[3], f.seen[0])
    assert torch.equal(start, kept)
    with pytest.raises(ValueError, match="shape"):
        minimise(f, x0, constraint=LInf(0.1), step=SignStep(0.01), schedule=Schedule(1), start=start[:1])


# ------------------------------------------------------------------------------------------------ what a look costs


def test_a_look_says_what_it_cost_and_a_plain_score_costs_its_queries():
    look = Look(0.0, Cost(forward=2, queries=1, tokens_in=7, tokens_out=3, money=0.5))
    run = {"constraint": LInf(0.1, "clean"), "step": SignStep(0.01), "schedule": Schedule(2)}
    x0 = as_picture(0.1, 0.2, 0.3, 0.4)
    (cost,) = minimise(quadratic(), x0, check=Check(1, lambda images, rows: [look], queries=3), **run).costs
    # 2 steps of one forward and one backward pass, and looks at steps 0, 1 and at the end
    assert cost == Cost(forward=2 + 3 * 2, backward=2, queries=3, tokens_in=21, tokens_out=9, money=1.5)
    (cost,) = minimise(quadratic(), x0, check=Check(1, lambda images, rows: [0.0], queries=3), **run).costs
    assert cost == Cost(forward=2, backward=2, queries=9)
    # 12 pay a look (3), a step (3), a look (3) and the look at the end; a second step would need 3 + 3 more.
    found = minimise(quadratic(), x0, check=Check(1, lambda images, rows: [look], queries=3), budget=Budget(12), **run)
    assert (found.costs[0].equivalents, found.steps[0]) == (9, 1)


def test_what_replies_add_to_an_attacks_cost_are_queries_tokens_and_money():
    replies = [Reply("a", cost=Cost(forward=1, queries=1, tokens_in=4, tokens_out=2, money=0.1, seconds=9))] * 3
    found = replies_cost(replies)
    assert (found.forward, found.queries, found.tokens_in, found.tokens_out, found.seconds) == (0, 3, 12, 6, 0)
    assert found.money == pytest.approx(0.3)
    assert found.equivalents == 3


# ------------------------------------------------------------------------------------------------ which losses compare


def test_the_trace_says_from_which_loss_on_they_are_the_whole_objectives():
    t = toys.pictures(3, 2)
    run = {"constraint": LInf(0.1), "step": SignStep(0.02), "seed": 1}
    plain, drawn = toys.quadratic(t), Transformed(toys.quadratic(t), Spectrum(), 2, [1, 2])
    x0 = toys.pictures(4, 2)

    def at(objective, steps=3, **more):
        found = minimise(objective, x0, schedule=Schedule(steps, restarts=more.pop("restarts", 1)), **run, **more)
        return [(trace.get("loss_plain_from", 0), len(trace["loss"])) for trace in map(found.trace, range(2))]

    assert at(plain) == at(plain, select="best") == [(0, 4)] * 2
    assert at(drawn) == at(negated(drawn)) == [(3, 4)] * 2  # three draws, then the value of the last iterate
    assert at(drawn, restarts=2) == [(3, 4)] * 2
    assert at(drawn, steps=0) == [(0, 1)] * 2
    assert at(Estimated(plain, "spsa", 0.01, 2, [1, 2])) == [(3, 4)] * 2  # means over probes, then the loss itself
    assert at(Estimated(plain, "rgf", 0.01, 2, [1, 2])) == [(0, 4)] * 2
    # What a check chose among draws is nobody's last iterate: none of its losses is the whole one.
    chosen = Check(2, lambda images, rows: [0.5] * len(rows), stop_at=None)
    assert at(drawn, select="checked", check=chosen) == [(3, 3)] * 2
