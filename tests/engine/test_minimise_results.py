"""What the pixel loop gives back: the chosen iterate, its losses and successes, the trace; and what it refuses."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import toy_objectives as toys
from engine.by_hand import as_picture, linear, quadratic
from proofglass.engine import (
    Box,
    Check,
    Differentiable,
    Estimated,
    LInf,
    Patch,
    Schedule,
    SignStep,
    Spectrum,
    Transformed,
    Within,
    minimise,
    negated,
)
from proofglass.engine.memory import NOTHING
from proofglass.errors import ZeroGradient
from proofglass.types import Budget, Cost


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
