"""What the pixel loop costs: no budget is passed, by steps, looks, restarts or seconds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import toy_objectives as toys
from engine.by_hand import as_picture, quadratic
from proofglass.engine import (
    Box,
    Check,
    Cycle,
    Differentiable,
    Estimated,
    LInf,
    Look,
    Placed,
    Schedule,
    SignStep,
    Spectrum,
    Transformed,
    Weighted,
    mean_of,
    minimise,
    negated,
    replies_cost,
)
from proofglass.engine.transfer import Resized
from proofglass.types import Budget, Cost, Reply


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
