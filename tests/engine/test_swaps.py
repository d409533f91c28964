"""Which tokens a search tries next: golden values, and what holds for any gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from proofglass.engine.seeds import stream
from proofglass.engine.swaps import Swaps, best, positions, rises, swapped

ROWS = torch.tensor([[0.0, 0], [1, 0], [0, 2], [-1, -1]])
SLOPE = torch.tensor([0.5, -1])
EVERY = torch.ones(4, dtype=torch.bool)


def test_the_rise_of_a_token_is_its_step_times_the_slope() -> None:  # G-H1: s(v) = (E_v - E_cur) . g
    assert rises(SLOPE, ROWS, 0).tolist() == [0, 0.5, -2, 0.5]
    assert rises(SLOPE, ROWS, 2).tolist() == [2, 2.5, 0, 2.5]


@pytest.mark.parametrize(("current", "least"), [(0, 2), (2, 2)])  # G-H1: at 2, the best is to stay
def test_a_sweep_tries_the_least_rise_first(current, least) -> None:
    gradient = torch.stack([SLOPE, torch.tensor([9.0, 9])])
    tried = Swaps("sweep", 2).candidates_of((current, 3), gradient, ROWS, EVERY, step=0, seed=0)
    assert tried[0] == (least, 3)
    assert len(tried) == 2


def test_positions_are_in_order_and_about_equally_often() -> None:  # G-G1
    assert positions(4, 8) == [0, 0, 1, 1, 2, 2, 3, 3]
    each = [positions(20, 250).count(k) for k in range(20)]
    assert set(each) == {12, 13}
    assert positions(20, 250) == sorted(positions(20, 250))


@given(st.integers(1, 40), st.integers(1, 300))
def test_positions_stay_within_the_mark_and_differ_by_one_at_most(length, count) -> None:
    places = positions(length, count)
    each = [places.count(k) for k in range(length)]
    assert len(places) == count
    assert max(each) - min(each) <= 1


@given(st.integers(0, 2**40), st.integers(0, 50), st.integers(1, 6))
def test_a_candidate_changes_one_token_into_one_of_the_best_allowed(seed, step, top) -> None:
    embeddings = torch.randn(12, 5, generator=stream(seed, "E"))
    gradient = torch.randn(3, 5, generator=stream(seed, "g"))
    allowed = torch.rand(12, generator=stream(seed, "a")) < 0.6
    allowed[4] = True
    ids = (4, 4, 4)
    tried = Swaps("all", 30, top).candidates_of(ids, gradient, embeddings, allowed, step=step, seed=seed)
    assert len(set(tried)) == len(tried)
    scores = gradient @ embeddings.T
    for each in tried:
        changed = [k for k in range(3) if each[k] != ids[k]]
        assert len(changed) <= 1
        for k in changed:
            better = sum(float(scores[k, v]) < float(scores[k, each[k]]) for v in range(12) if allowed[v])
            assert allowed[each[k]]
            assert better < top


def test_draws_depend_on_seed_and_step_alone() -> None:
    def tried(seed, step):
        rule = Swaps("all", 6, 4)
        return rule.candidates_of((0, 1, 2), ROWS[:3] @ ROWS.T, torch.eye(4), EVERY, step=step, seed=seed)

    assert tried(1, 5) == tried(1, 5)
    assert len({tuple(tried(seed, step)) for seed in (1, 2) for step in (5, 6)}) > 1


def test_fewer_allowed_tokens_than_asked_for_are_all_there_is() -> None:
    allowed = torch.tensor([False, True, False, True])
    assert best(torch.tensor([[3.0, 2, 1, 0]]), allowed, 256).tolist() == [[3, 1]]
    tried = Swaps("sweep", 100).candidates_of((0,), SLOPE[None], ROWS, allowed, step=0, seed=0)
    assert sorted(tried) == [(1,), (3,)]


def test_a_single_fill_in_is_the_current_token_and_several_are_drawn_at_the_position_of_the_step() -> None:
    assert Swaps("sweep", 5).fillings((1, 2, 3), 4, 0, EVERY) == [(1, 2, 3)]
    allowed = torch.tensor([False, True, True, False])
    filled = Swaps("sweep", 5, fill_ins=20).fillings((0, 0, 0), 4, 0, allowed)
    assert {ids[1] for ids in filled} == {1, 2}  # only what may be written
    assert all((ids[0], ids[2]) == (0, 0) for ids in filled)


@pytest.mark.parametrize(
    "wrong",
    [{"candidates": 0}, {"top": 0}, {"fill_ins": 0}, {"fill_ins": 2}, {"order": "random"}, {"accepts": "worse"}],
)
def test_a_rule_that_means_nothing_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match=r"expected|belong"):
        Swaps(**wrong)


def test_a_swap_leaves_the_rest() -> None:
    assert swapped((1, 2, 3), 0, 9) == (9, 2, 3)
    assert swapped([1, 2, 3], 2, 9) == (1, 2, 9)
