"""What gates add to a loss, and which way they ask for: bounds, distances, lengths; and descents past them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from defenses.opened_parts import CHAT, PAIRS, some_pixels
from proofglass import Lens, Opened
from proofglass.defenses.inference.none import NoDefense
from proofglass.engine import LInf, Schedule, SignStep, TargetNLL, minimise
from proofglass.engine.gates import LEAST, beside, cost_of, way_past
from proofglass.victims.own import OwnModule
from toy_module import Toy

SLOPE = torch.tensor([3.0, -4.0]).reshape(1, 1, 1, 2)  # of length 5, sum of sizes 7


@given(st.lists(st.floats(0, 2.0**99, width=32), min_size=2, max_size=9), st.floats(1e-3, 1e3), st.floats(1e-6, 1e3))
def test_what_a_gate_costs_rises_with_its_margin_and_never_beyond_evade(
    margins: list[float], evade: float, slack: float
) -> None:
    cost = cost_of(torch.tensor(sorted(margins)), evade, slack)
    assert (cost >= 0).all()
    assert (cost <= evade * (1 + 1e-6)).all()
    assert (cost.diff() >= -1e-6 * evade).all()


def test_a_gate_that_lets_pass_costs_nothing_and_one_out_of_reach_all() -> None:
    # evade x over / (over + slack): 0, half at over = slack, all where the margin has no end; with slack 0 a step.
    over = torch.tensor([0.0, 0.05, 1e9, float("inf")])
    torch.testing.assert_close(cost_of(over, 10.0, 0.05), torch.tensor([0.0, 5.0, 10.0, 10.0]))
    assert cost_of(torch.tensor([0.0, 1e-6]), 10.0, 0.0).tolist() == [0.0, 10.0]
    assert cost_of(torch.tensor([float("nan")]), 10.0, 0.05).isnan().all()  # no number is no open gate


@pytest.mark.parametrize(
    ("distance", "length"), [(0.05, 0.75), (0.1 * 0.1**0.5, 0.9), (0.1, LEAST), (7.0, LEAST), (float("inf"), LEAST)]
)
def test_the_way_past_a_gate_is_the_shorter_the_further_off_it_is(distance: float, length: float) -> None:
    # Reach 0.1: 1 - (0.05 / 0.1)^2 = 0.75. Sizes add up to 7: a step of `distance` lowers the margin by 7 times it.
    way = way_past(torch.tensor([7 * distance]), SLOPE, 0.1)
    torch.testing.assert_close(way, length * SLOPE / 5)


def test_there_is_no_way_past_a_gate_that_is_shut_or_has_no_slope() -> None:
    assert not way_past(torch.tensor([0.0]), SLOPE, 0.1).any()
    assert not way_past(torch.tensor([1.0]), torch.zeros_like(SLOPE), 0.1).any()


def test_beside_a_gradient_the_way_is_as_long_as_it_whatever_its_scale() -> None:
    grad = torch.tensor([0.0, 2e-3]).reshape(1, 1, 1, 2)
    way = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    torch.testing.assert_close(beside(grad, way), torch.tensor([2e-3, 2e-3]).reshape(1, 1, 1, 2))
    torch.testing.assert_close(beside(torch.zeros_like(way), way), way)


@given(st.lists(st.integers(-9, 9), min_size=8, max_size=8), st.floats(1e-3, 1e3))
def test_to_first_order_neither_the_loss_nor_the_margin_rises_along_the_sum(values: list[int], over: float) -> None:
    grad, slope = torch.tensor(values, dtype=torch.float64).reshape(2, 1, 1, 1, 4)
    whole = beside(grad, way_past(torch.tensor([over]), slope, 0.1))
    assert float((whole * grad).sum()) >= -1e-4 * float(grad.norm() ** 2)
    alone = beside(grad, way_past(torch.tensor([1e-12]), slope, 0.1))  # at the gate
    assert float((alone * slope).sum()) >= -1e-4 * float(grad.norm() * slope.norm())


# ---------------------------------------------------------------- descents


def brightness(limit: float, times: float = 1.0) -> Callable[[Any, Any], torch.Tensor]:
    return lambda x, chats: times * (x.flatten(1).mean(1) - limit)


def descended(view: Opened, evade: float, rows: list[int]) -> torch.Tensor:
    x0 = some_pixels()[rows]
    found = minimise(
        TargetNLL(view, [PAIRS[b] for b in rows], evade=evade),
        x0, constraint=LInf(0.05, "clean"), step=SignStep(0.01), schedule=Schedule(12), seed=rows,
    )  # fmt: skip
    return found.x


@pytest.mark.parametrize("times", [1.0, 1000.0])
def test_a_gate_out_of_reach_costs_the_target_next_to_nothing_however_steep_it_is(times: float) -> None:
    # Mean brightness above 0.1 by 0.4, and no pixel may move by more than 0.05.
    view = Opened(OwnModule(Toy()), NoDefense(), Lens(margin=brightness(0.1, times)))
    prepared = view.prepare(PAIRS)
    losses = [
        view.loss_and_grad(x, prepared, need_grad=False).loss
        for x in (some_pixels(), descended(view, 0.0, [0, 1]), descended(view, 10.0, [0, 1]))
    ]
    assert (losses[2] - losses[1] <= 0.1 * (losses[0] - losses[1])).all()


def test_a_batch_that_passes_gates_equals_its_single_runs() -> None:
    view = Opened(OwnModule(Toy()), NoDefense(), Lens(margin=brightness(0.49)))
    both = descended(view, 10.0, [0, 1])
    torch.testing.assert_close(both, torch.cat([descended(view, 10.0, [0]), descended(view, 10.0, [1])]))
    assert (view.margin_and_grad(both, [CHAT, CHAT])[0] <= 0).all()


def test_the_mean_over_pairs_is_of_each_gate_by_itself() -> None:
    # The first pair's gate is open and far off, the second's lets pass: half of the cost, half of the way.
    gate = Lens(margin=lambda x, chats: x.flatten(1).mean(1) * 0 + torch.tensor([9.0 if "what" in c.messages[0].text
                and len(c.messages) == 1 else -9.0 for c in chats]) + 0 * x.flatten(1).sum(1))  # fmt: skip
    view = Opened(OwnModule(Toy()), NoDefense(), gate)
    objective = TargetNLL(view, PAIRS[:1])
    x = some_pixels(1)
    plain = view.loss_and_grad(x, view.prepare(PAIRS[:1])).loss
    torch.testing.assert_close(objective(x, 0).loss - plain, torch.tensor([0.5 * 10 * 9.05 / 9.1]), atol=1e-4, rtol=0)
