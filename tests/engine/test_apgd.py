"""Auto-PGD's step rule against the lists and traces worked out for it (golden values G7 and G8)."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from proofglass.engine import APGDStep, Differentiable, LInf, Schedule, minimise
from proofglass.engine.apgd import checks
from proofglass.registry import build as plug

W, T, X0 = (1.0, 4.0, 0.25), (0.53, 0.43, 0.90), (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        (100, (22, 41, 57, 70, 80, 87, 93, 99)),
        (500, (110, 205, 285, 350, 400, 435, 465, 495)),
        (50, (11, 21, 30, 38, 45)),
        (20, (4, 7, *range(9, 21))),
        (10, tuple(range(2, 11))),
    ],
)
def test_g7_the_places_of_the_checks_are_those_of_the_authors_code(steps, wanted):
    assert checks(steps) == wanted


@given(st.integers(0, 3000))
def test_checks_rise_and_never_pass_the_last_step(steps):
    found = checks(steps)
    assert list(found) == sorted(set(found))
    assert all(1 <= at <= steps for at in found)


@dataclasses.dataclass(frozen=True)
class Watched:
    """A rule whose first step sizes are written down: etas[i] is the one that step i (0-based) was taken with."""

    rule: APGDStep
    etas: list
    needs_grad = True

    def init(self, x):
        return self.rule.init(x)

    def __call__(self, at, state):
        moved, state = self.rule(at, state)
        self.etas.append(state["eta"].clone())
        return moved, state


def column(values):
    """One picture of 1 x 1 pixel whose channels are the three numbers."""
    return torch.tensor(values).reshape(1, 3, 1, 1)


def toy():
    """J = sum w (x - t)^2 = -F."""
    return Differentiable(lambda x, rows: (column(W) * (x - column(T)) ** 2).flatten(1).sum(1), 1)


def run(rule, steps, select="best"):
    etas = []
    found = minimise(
        toy(), column(X0), constraint=LInf(0.1, "clean"), step=Watched(rule, etas), schedule=Schedule(steps),
        select=select,
    )  # fmt: skip
    return found, [float(eta[0]) for eta in etas]


def test_g8_with_twice_epsilon_walks_as_worked_out():
    found, etas = run(plug("attacks", "apgd", epsilon=0.1).rule(), 20)
    wanted = [-0.031, -0.061625, -0.026781, -0.0325, -0.027883, -0.032194]
    assert [-loss for loss in found.losses[0][1:7]] == pytest.approx(wanted, abs=5e-7)
    # eta in force after a check at iteration k is the one that step k (0-based) is taken with.
    after = {4: 0.1, 7: 0.05, 9: 0.025, 10: 0.0125, 13: 0.00625, 16: 0.003125, 19: 0.0015625}
    assert {k: etas[k] for k in after} == pytest.approx(after)
    assert sorted(set(etas), reverse=True) == pytest.approx([0.2, *after.values()])
    assert found.x.flatten().tolist() == pytest.approx([0.529883, 0.430371, 0.6], abs=1e-6)
    assert float(found.loss[0]) == pytest.approx(0.0225005646, abs=1e-8)


def test_g8_over_a_hundred_steps_every_check_halves():
    found, etas = run(plug("attacks", "apgd", epsilon=0.1).rule(), 100)
    assert [etas[k] for k in checks(100)] == pytest.approx([0.2 / 2**n for n in range(1, 9)])
    assert float(found.loss[0]) == pytest.approx(0.0225000536, abs=1e-8)


def test_g8_with_epsilon_walks_as_worked_out():  # the second row: RobustVLM's choice, as schlarmann2023 makes it
    rule = plug("attacks", "schlarmann2023", epsilon=0.1).rule()
    found, etas = run(rule, 20)
    after = {3: 0.1, 4: 0.05, 7: 0.025, 9: 0.0125, 10: 0.0125, 11: 0.00625}
    assert {k: etas[k] for k in after} == pytest.approx(after)
    assert found.x.flatten().tolist() == pytest.approx([0.529932, 0.429932, 0.6], abs=1e-6)


def test_step_sizes_of_pictures_in_one_batch_are_their_own():
    # The first picture's loss falls at every step of .01 towards .58; the second's is constant and halves at once.
    def half_flat(x, rows):
        return torch.tensor([1.0, 0.0])[rows] * ((x - 0.58) ** 2).flatten(1).sum(1)

    etas = []
    x0 = column(X0).repeat(2, 1, 1, 1)
    run = {"constraint": LInf(0.1, "clean"), "schedule": Schedule(10)}
    minimise(Differentiable(half_flat, 2), x0, step=Watched(APGDStep(0.01), etas), **run)
    assert [float(eta[0]) for eta in etas[:5]] == pytest.approx([0.01] * 5)
    assert [float(eta[1]) for eta in etas[:5]] == pytest.approx([0.01, 0.01, 0.005, 0.0025, 0.00125])


@given(st.integers(0, 10_000), st.sampled_from([1, 4, 16]))
def test_apgd_stays_in_the_ball_and_never_ends_above_its_start(seed, levels):
    noise = torch.Generator().manual_seed(seed)
    x0, t = (torch.rand(1, 3, 2, 2, generator=noise) for _ in range(2))
    objective = Differentiable(lambda x, rows: ((x - t) ** 2).flatten(1).sum(1), 1)
    epsilon = levels / 255
    found = minimise(
        objective, x0, constraint=LInf(epsilon, "clean"), step=APGDStep(epsilon), schedule=Schedule(12), select="best"
    )
    assert float((found.x - x0).abs().max()) <= epsilon + 1e-6
    assert float(found.x.min()) >= 0
    assert float(found.x.max()) <= 1
    assert float(found.loss[0]) <= found.losses[0][0]


def test_a_pass_goes_on_where_another_ended_and_the_ball_stays_where_it_was():
    x0, start = column(X0), column((0.58, 0.45, 0.9))
    seen = []
    objective = Differentiable(
        lambda x, rows: (seen.append(x.detach().clone()), (x - column(T)).flatten(1).sum(1))[1], 1
    )
    kept = start.clone()
    found = minimise(
        objective, x0, constraint=LInf(0.1, "clean"), step=APGDStep(0.1), schedule=Schedule(8), start=start
    )
    # The start is projected into the ball around x0, and the search ends in that ball's corner.
    assert seen[0].flatten().tolist() == pytest.approx([0.58, 0.45, 0.6])
    assert found.x.flatten().tolist() == pytest.approx([0.4, 0.4, 0.4])
    assert torch.equal(start, kept)


def test_the_loss_after_rounding_is_that_of_the_picture_that_is_saved():
    # Halved steps land on halves of a level: there float32 and float64 arithmetic round 255 x + .5 to different sides.
    x0 = torch.arange(0, 255).reshape(1, 1, 15, 17).expand(1, 3, 15, 17) / 255 + 0.5 / 255
    weights = torch.rand(x0.shape, generator=torch.Generator().manual_seed(0))
    objective = Differentiable(lambda x, rows: (weights * x).flatten(1).sum(1), 1)
    found = minimise(objective, x0, constraint=LInf(0.1, "clean"), step=APGDStep(0.1), schedule=Schedule(0))
    saved = torch.from_numpy(found.images()[0].array().copy()).permute(2, 0, 1)[None].float() / 255
    torch.testing.assert_close(found.rounded_loss, objective.value(saved).loss, atol=0, rtol=0)
