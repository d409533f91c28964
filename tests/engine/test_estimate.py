"""Gradients from values: right on average, counted query by query, the same for a picture in any batch."""

from __future__ import annotations

import pytest
import torch

from proofglass.engine import Differentiable, Estimated, LInf, Schedule, SignStep, minimise
from proofglass.engine.memory import NOTHING
from toy_objectives import Recorded, linear, pictures, quadratic

KINDS = ("nes", "spsa", "rgf")


def test_one_direction_gives_its_slope_and_all_signs_the_gradient(monkeypatch):  # G10
    def f(x, rows):
        z = x[:, 0].flatten(1)[:, :3]
        return (z**2).sum(1) + z[:, 0] * z[:, 1]

    x = torch.zeros(1, 3, 2, 2)
    x[0, 0].view(-1)[:3] = torch.tensor([0.2, 0.5, 0.9])
    every = [[1.0 if k >> j & 1 else -1.0 for j in range(3)] for k in range(8)]
    for kind, signs, wanted in [
        ("nes", [[1.0, -1.0, 1.0]], (1.5, -1.5, 1.5)),
        ("rgf", [[1.0, -1.0, 1.0]], (1.7, -1.7, 1.7)),
        ("spsa", every, (0.9, 1.2, 1.8)),
        ("rgf", every, (0.9, 1.2, 1.8)),
    ]:
        v = torch.zeros(len(signs), 3, 2, 2)
        v[:, 0].view(len(signs), -1)[:, :3] = torch.tensor(signs)
        estimate = Estimated(Differentiable(f, 1), kind, 0.1, len(signs), [0])  # type: ignore[arg-type]
        monkeypatch.setattr(Estimated, "directions", lambda self, like, seed, step, v=v: v)
        grad = estimate(x, 0).grad[0, 0].flatten()[:3]
        torch.testing.assert_close(grad, torch.tensor(wanted), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_estimate_of_a_slope_is_its_gradient(kind):
    # For a linear function the estimate is g' = mean over v of (v.g) v; its mean is g, and per value its variance is
    # (|g|^2 + g_i^2) / q for Gaussian v, (|g|^2 - g_i^2) / q for signs.
    a, x = pictures(1, 1, -1.0), torch.full((1, 3, 6, 6), 0.5)
    draws = 8000
    found = Estimated(linear(a), kind, 0.01, draws, [3], at_once=4000)(x, 0).grad
    spread = float(a.norm()) / draws**0.5
    assert float((found - a).abs().max()) < 5 * spread
    assert float((found - a).norm()) < 1.2 * spread * a.numel() ** 0.5
    assert float((found - a).norm()) > 0.5 * spread * a.numel() ** 0.5  # it is an estimate: nobody looked at the truth


@pytest.mark.parametrize("kind", KINDS)
def test_directions_belong_to_seed_and_step_and_chunks_change_nothing(kind):
    t, x = pictures(1, 3), pictures(2, 3, 0.3, 0.7)
    whole = Estimated(quadratic(t), kind, 0.01, 10, [7, 8, 9])
    seen = whole(x, 4)
    for b in range(3):
        alone = Estimated(quadratic(t[b : b + 1]), kind, 0.01, 10, [[7, 8, 9][b]])(x[b : b + 1], 4)
        assert torch.equal(alone.grad[0], seen.grad[b])
        assert torch.equal(alone.loss[0], seen.loss[b])
        picked = whole.rows([b, b])(x[[b, b]], 4)
        assert torch.equal(picked.grad[0], seen.grad[b])
        assert torch.equal(picked.grad[1], seen.grad[b])
    chunks = Estimated(quadratic(t), kind, 0.01, 10, [7, 8, 9], at_once=3)(x, 4)
    torch.testing.assert_close(chunks.grad, seen.grad)
    assert not torch.equal(whole(x, 5).grad, seen.grad)
    assert torch.equal(whole(x, 4).grad, seen.grad)


@pytest.mark.parametrize(("kind", "queries"), [("nes", 20), ("spsa", 20), ("rgf", 11)])
def test_every_query_is_counted_and_none_asks_for_a_gradient(kind, queries):
    class NoGradient(Recorded):
        def __call__(self, x, step, *, need_grad=True, memory=NOTHING):
            assert not need_grad
            return super().__call__(x, step, need_grad=need_grad)

    f = NoGradient(quadratic(pictures(1, 2)))
    seen = Estimated(f, kind, 0.01, 10, [0, 1])(pictures(2, 2), 0)
    assert (seen.forward, seen.backward) == (2 * queries, 0)
    assert sum(len(x) for x in f.seen) == 2 * queries
    assert all(float(x.min()) >= 0 and float(x.max()) <= 1 for x in f.seen)


def test_directions_are_signs_for_spsa_and_gaussian_for_the_others():
    like = torch.zeros(3, 20, 20)
    for kind in KINDS:
        v = Estimated(linear(torch.ones(1, 3, 20, 20)), kind, 0.1, 50, [0]).directions(like, 0, 0)
        assert v.shape == (50, 3, 20, 20)
        assert (set(v.unique().tolist()) == {-1.0, 1.0}) == (kind == "spsa")
        # 60,000 draws of variance 1: the mean is 0 +- .004
        assert abs(float(v.mean())) < 0.02
        assert float(v.std()) == pytest.approx(1, abs=0.02)


def test_only_the_one_sided_estimate_knows_the_loss_at_the_picture_itself():
    x, f = pictures(2), quadratic(pictures(1))
    assert torch.equal(Estimated(f, "rgf", 0.01, 4, [0])(x, 0).loss, f.value(x).loss)
    assert not torch.equal(Estimated(f, "nes", 0.01, 4, [0])(x, 0).loss, f.value(x).loss)
    assert [Estimated(f, kind, 0.01, 4, [0]).fixed for kind in KINDS] == [False, False, True]
    run = {"constraint": LInf(0.1), "step": SignStep(0.02), "schedule": Schedule(2), "select": "best"}
    with pytest.raises(ValueError, match="sampled"):
        minimise(Estimated(f, "nes", 0.01, 4, [0]), x, **run)


@pytest.mark.parametrize("kind", KINDS)
def test_estimated_descent_comes_near_the_optimum(kind):
    x0, t = pictures(1, 2, 0.3, 0.7), pictures(2, 2, 0.3, 0.7)
    f, c = quadratic(t), LInf(0.1, "clean")
    found = minimise(
        Estimated(f, kind, 0.01, 60, [5, 6]), x0, constraint=c, step=SignStep(0.02), schedule=Schedule(40, "cosine")
    )
    best, start = f.value(c.project(t, x0)).loss, f.value(x0).loss
    assert (((found.loss - best) / (start - best)) < 0.15).all()
    assert found.costs[0].backward == 0
    assert found.costs[0].forward == 40 * (61 if kind == "rgf" else 120)


@pytest.mark.parametrize(
    ("bad", "field"), [({"kind": "zoo"}, "kind"), ({"sigma": 0}, "sigma"), ({"draws": 0}, "draws")]
)
def test_bad_parameters_name_the_field(bad, field):
    with pytest.raises(ValueError, match=field):
        Estimated(**{"objective": quadratic(pictures(1)), "kind": "nes", "sigma": 0.1, "draws": 2, "seeds": [0], **bad})
