"""The Square attack's random search: its schedule, its proposals, what it keeps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.engine import LInf, Schedule, SquareStep, minimise
from toy_objectives import Recorded, linear, pictures, quadratic

# (iteration, share, side) of 5000 iterations on 224 x 224 pixels, p_init 0.8 (G9)
G9 = [(0, 0.8, 200), (5, 0.8, 200), (6, 0.4, 142), (26, 0.2, 100), (101, 0.1, 71), (251, 0.05, 50), (501, 0.025, 35),
      (1001, 0.0125, 25), (2001, 0.00625, 18), (3001, 0.003125, 13), (4001, 0.0015625, 9)]  # fmt: skip


def search(objective, x0, steps=40, epsilon=0.1, seed=0, **run):
    return minimise(
        objective,
        x0,
        constraint=LInf(epsilon, "clean"),
        step=SquareStep(epsilon),
        schedule=Schedule(steps),
        seed=seed,
        select="best",
        **run,
    )


@pytest.mark.parametrize(("i", "share", "side"), G9)
def test_the_squares_shrink_as_in_the_authors_code(i, share, side):
    assert SquareStep(0.1).share(i, 5000) == pytest.approx(share)
    assert SquareStep(0.1).side(i, 5000, 224, 224) == side


@given(st.integers(2, 400), st.integers(1, 40), st.integers(1, 40))
def test_sides_never_grow_and_always_fit(steps, height, width):
    sides = [SquareStep(0.1).side(i, steps, height, width) for i in range(steps)]
    assert sides == sorted(sides, reverse=True)
    assert all(1 <= side <= min(height, width) for side in sides)


def test_the_first_query_is_the_picture_the_second_stripes_the_others_one_square_each():
    x0 = torch.full((1, 3, 6, 6), 0.5)
    f = Recorded(linear(pictures(1, 1, -1.0)))
    search(f, x0, steps=30)
    assert torch.equal(f.seen[0], x0)
    assert len(f.seen) == 30
    stripes = f.seen[1] - x0
    torch.testing.assert_close(stripes.abs(), torch.full_like(x0, 0.1))
    assert (stripes == stripes[:, :, :1]).all()
    assert 0 < float((stripes > 0).float().mean()) < 1
    best, loss = f.seen[1], f.objective.value(f.seen[1]).loss
    for x in f.seen[2:]:
        torch.testing.assert_close((x - x0).abs(), torch.full_like(x0, 0.1))
        for channel in (x != best)[0]:
            rows, columns = channel.any(1).nonzero(), channel.any(0).nonzero()
            if len(rows):
                window = x[0, (x != best)[0].flatten(1).any(1)]
                assert window.isfinite().all()
                assert int(rows.max() - rows.min()) < 6
                assert int(columns.max() - columns.min()) < 6
        here = f.objective.value(x).loss
        best, loss = (x, here) if here < loss else (best, loss)


def test_the_search_finds_the_corner_of_a_linear_loss_but_for_the_last_row_and_column():
    # floor(U (H - side)) never reaches H - side: the authors' code leaves the last row and column as the stripes are
    a, x0 = pictures(3, 2, -1.0).sign(), torch.full((2, 3, 6, 6), 0.5)
    f = Recorded(linear(a))
    found = search(f, x0, steps=1200)
    torch.testing.assert_close(found.x[..., :5, :5], (x0 - 0.1 * a)[..., :5, :5])
    assert torch.equal(found.x[..., 5, :], f.seen[1][..., 5, :])
    assert torch.equal(found.x[..., :, 5], f.seen[1][..., :, 5])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_best_loss_never_rises_and_is_that_of_a_picture_seen(seed):
    f = Recorded(quadratic(pictures(seed, 1)))
    found = search(f, pictures(seed + 1), steps=25, seed=seed)
    losses = [float(f.objective.value(x).loss[0]) for x in f.seen]
    assert float(found.loss[0]) <= min(losses)
    assert any(torch.equal(found.x, x) for x in f.seen) or float(found.loss[0]) < min(losses)  # or the last proposal


def test_a_clean_picture_that_nothing_beats_is_kept():
    x0 = pictures(1, 1, 0.3, 0.7)
    found = search(quadratic(x0.clone()), x0)
    assert torch.equal(found.x, x0)


def test_a_proposal_of_equal_loss_is_not_kept():
    # A loss that only looks at one value: squares elsewhere change nothing and must not be taken over.
    f = Recorded(linear(torch.zeros(1, 3, 6, 6)))
    x0 = torch.full((1, 3, 6, 6), 0.5)
    search(f, x0, steps=20)
    stripes = f.seen[1]
    for x in f.seen[2:]:  # every proposal starts from the stripes: away from its one window it equals them
        assert (x == stripes).flatten(1).float().mean() > 0 or SquareStep(0.1).side(len(f.seen), 20, 6, 6) == 6
    last = (f.seen[-1] != stripes)[0].any(0)
    rows, columns = last.any(1).nonzero(), last.any(0).nonzero()
    side = SquareStep(0.1).side(18, 19, 6, 6)
    assert not len(rows) or int(rows.max() - rows.min()) < side
    assert not len(columns) or int(columns.max() - columns.min()) < side


def test_one_query_a_step_and_no_gradient():
    found = search(quadratic(pictures(1, 3)), pictures(2, 3), steps=12)
    assert [(cost.forward, cost.backward) for cost in found.costs] == [(13, 0)] * 3


@pytest.mark.parametrize(("bad", "field"), [({"epsilon": 8}, "write 8/255"), ({"epsilon": 0.1, "p_init": 0}, "p_init")])
def test_bad_parameters_name_the_field(bad, field):
    with pytest.raises(ValueError, match=field):
        SquareStep(**bad)
