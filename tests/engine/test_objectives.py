"""Every objective's gradient against finite differences, and the ways in which objectives combine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proofglass.engine import (
    Cycle,
    Differentiable,
    Placed,
    Spectrum,
    TargetNLL,
    Transformed,
    Weighted,
    embedding_distance,
    mean_of,
    negated,
)
from proofglass.engine.seeds import stream
from proofglass.types import Chat, Image
from proofglass.victims.llava import Llava
from tiny_models import SIDE, build
from toy_objectives import Remembering, linear, pictures, quadratic


def slopes_agree(objective, x, h=5e-5, step=3, within=1e-4):
    """J(x + h v) - J(x - h v) against <gradient, x+ - x->, along the gradient's sign and two random directions, with
    the five-point formula (error h^4). The moves are what float32 made of them."""
    seen = objective(x, step)
    random = torch.Generator().manual_seed(0)
    others = [torch.randint(0, 2, x.shape, generator=random).float() * 2 - 1 for _ in range(2)]
    # a random direction alone is nearly level; half the gradient's sign keeps its slope above the rounding of losses
    for v in (seen.grad.sign(), *(0.5 * seen.grad.sign() + 0.5 * other for other in others)):
        far, near = ((x + s * v, x - s * v) for s in (2 * h, h))
        losses = [objective(y, step, need_grad=False).loss.double() for y in (*near, *far)]
        moved = [float(((a - b).double() * seen.grad.double()).sum()) for a, b in (near, far)]
        slope = 8 * (losses[0] - losses[1]).sum() - (losses[2] - losses[3]).sum()
        expected = 8 * moved[0] - moved[1]
        assert float(slope) == pytest.approx(expected, rel=within)
        assert abs(expected) > 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build("llava", tmp_path_factory.mktemp("tiny") / "llava")


@pytest.fixture(scope="module")
def exact(folder) -> Llava:
    """In float64: a finite difference of 1e-3 drowns in the float32 of a network."""
    return Llava(folder, device="cpu", dtype="float64")


def picture(seed: int) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def pairs(count: int = 3) -> list[tuple[Chat, str]]:
    return [(Chat.user(picture(0), f"make a kite {k}"), "sure , " + "kite " * (k + 1)) for k in range(count)]


def x_of(seed: int, count: int = 1, side: int = SIDE) -> torch.Tensor:
    return 0.2 + 0.6 * torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------ targets


@pytest.mark.parametrize("weighting", ["token", "pair", "sum", "given"])
@pytest.mark.parametrize("append_eos", [False, True])
def test_the_gradient_of_target_nll_is_its_slope(exact, weighting, append_eos):
    objective = TargetNLL(exact, [pairs(), pairs(2)], weighting=weighting, append_eos=append_eos)
    if weighting == "given":
        spans = [[sum(of_pair) for of_pair in row] for row in objective.prepared.spans]
        weights = [[[(-1.0) ** k * (k + 1) / n for k in range(n)] for n in row] for row in spans]
        objective = dataclasses.replace(objective, prepared=objective.prepared.weighted(weights))
    slopes_agree(objective, x_of(1, 2))


def test_the_three_weightings_are_those_of_their_names(exact):
    # "sum" over all tokens; "token" = sum / tokens; "pair" = mean of per-pair means
    x, row = x_of(2), pairs()
    by = {w: float(TargetNLL(exact, [row], weighting=w).value(x).loss) for w in ("token", "pair", "sum")}
    alone = [TargetNLL(exact, [[pair]]) for pair in row]
    tokens = [sum(one.prepared.spans[0][0]) for one in alone]
    means = [float(one.value(x).loss) for one in alone]
    assert len(set(tokens)) == 3
    assert by["sum"] == pytest.approx(sum(n * m for n, m in zip(tokens, means, strict=True)), rel=1e-6)
    assert by["token"] == pytest.approx(by["sum"] / sum(tokens), rel=1e-6)
    assert by["pair"] == pytest.approx(sum(means) / 3, rel=1e-6)


def test_a_step_draws_its_pairs_from_seed_and_step_and_value_takes_the_whole(exact):
    objective = TargetNLL(exact, [pairs(6), pairs(6)], per_step=2, seed=[4, 5])
    assert not objective.fixed
    drawn = [objective.draw(step) for step in range(30)]
    assert drawn == [objective.draw(step) for step in range(30)]
    assert all(len(set(row)) == 2 for rows in drawn for row in rows)
    assert {p for rows in drawn for row in rows for p in row} == set(range(6))
    assert any(rows[0] != rows[1] for rows in drawn)
    assert objective.rows([1]).draw(7)[0] == objective.draw(7)[1]
    seen = objective(x_of(1, 2), 0)
    assert (seen.forward, seen.backward) == (4, 4)
    assert objective.value(x_of(1, 2)).forward == 12
    assert dataclasses.replace(objective, value_pairs=3).value(x_of(1, 2)).forward == 6
    assert TargetNLL(exact, [pairs(6)], per_step=6).fixed


def test_a_sampled_gradient_is_the_slope_of_its_own_draw(exact):
    slopes_agree(TargetNLL(exact, [pairs(6)], per_step=2, seed=3), x_of(4), step=11)


@pytest.mark.parametrize(
    ("bad", "field"), [({"pairs": []}, "pairs"), ({"pairs": [[]]}, "pairs"), ({"per_step": 0}, "per_step")]
)
def test_a_request_that_teaches_nothing_is_refused(exact, bad, field):
    with pytest.raises(ValueError, match=field):
        TargetNLL(**{"victim": exact, "pairs": [pairs()], **bad})


# ------------------------------------------------------------------------------------------------ embeddings


class Encoder:
    """A smooth map into 5 numbers (pooled) or 4 x 5 (patches), in float64 inside."""

    def __init__(self, side: int = 6) -> None:
        random = torch.Generator().manual_seed(1)
        self.weights = torch.randn(20, 3 * side * side, generator=random, dtype=torch.float64) / side

    def features(self, pixels: torch.Tensor, layer: Any = "pooled") -> torch.Tensor:
        out = torch.tanh(pixels.double().flatten(1) @ self.weights.T)
        return out.unflatten(1, (4, 5)) if layer == "patches" else out[:, :5]


@pytest.mark.parametrize("layer", ["pooled", "patches"])
@pytest.mark.parametrize("metric", ["l2", "mse", "cosine"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_gradient_of_an_embedding_distance_is_its_slope(metric, layer, sign):
    x, encoder = pictures(3, 2, 0.2, 0.8), Encoder()
    wanted = encoder.features(pictures(4, 2), layer)
    # losses come out in float32: a wider step keeps their rounding below 1e-4 of the slope
    slopes_agree(embedding_distance(encoder, wanted, layer=layer, metric=metric, sign=sign), x, h=2e-3)


def test_distances_are_those_of_their_definitions_and_zero_at_the_goal_itself():
    encoder, x = Encoder(), pictures(3, 2)
    wanted = encoder.features(pictures(4, 2)).float()
    found = encoder.features(x).float()
    by = {m: embedding_distance(encoder, wanted, metric=m).value(x).loss for m in ("l2", "mse", "cosine")}
    torch.testing.assert_close(by["l2"], (found - wanted + 1e-6).norm(dim=1))
    torch.testing.assert_close(by["mse"], ((found - wanted) ** 2).mean(1))
    cosine = (found * wanted).sum(1) / found.norm(dim=1) / wanted.norm(dim=1)
    torch.testing.assert_close(by["cosine"], 1 - cosine)
    away = embedding_distance(encoder, wanted, metric="mse", sign=-1.0).value(x).loss
    torch.testing.assert_close(away, -by["mse"])
    at_goal = embedding_distance(encoder, encoder.features(x).float(), metric="l2")(x, 0)
    assert (at_goal.loss < 1e-5).all()
    assert at_goal.grad.isfinite().all()


# ------------------------------------------------------------------------------------------------ combinations


def test_a_weighted_sum_adds_losses_gradients_and_costs():
    x, f, g = pictures(1, 2), quadratic(pictures(2, 2)), linear(pictures(3, 2))
    seen, of_f, of_g = Weighted([(2.0, f), (-0.5, g)])(x, 0), f(x, 0), g(x, 0)
    torch.testing.assert_close(seen.loss, 2 * of_f.loss - 0.5 * of_g.loss)
    torch.testing.assert_close(seen.grad, 2 * of_f.grad - 0.5 * of_g.grad)
    assert (seen.forward, seen.backward) == (4, 4)
    torch.testing.assert_close(mean_of([f, g]).value(x).loss, (of_f.loss + of_g.loss) / 2)
    torch.testing.assert_close(negated(f)(x, 0).grad, -of_f.grad)
    torch.testing.assert_close(negated(f)(x, 0).loss, -of_f.loss)
    assert Weighted([(2.0, f), (-0.5, g)]).rows([1]).value(x[1:]).loss == pytest.approx(float(seen.loss[1]))
    both = Weighted([(2.0, embedding_distance(Encoder(), torch.ones(2, 5))), (0.3, f)])
    slopes_agree(both, pictures(1, 2, 0.2, 0.8), h=2e-3)
    with pytest.raises(ValueError, match="terms"):
        Weighted([])


def test_a_sum_with_a_sampled_term_is_sampled():
    f = quadratic(pictures(2))
    moving = Transformed(f, Spectrum(), 2, [0])
    assert Weighted([(1.0, f)]).fixed
    assert not Weighted([(1.0, f), (1.0, moving)]).fixed
    assert not mean_of([moving]).fixed


def test_memory_of_each_term_is_its_own_and_nothing_changes_itself():
    one, other, x = Remembering(pictures(1)), Remembering(pictures(2)), pictures(4)
    both = Weighted([(1.0, one), (1.0, quadratic(pictures(3))), (2.0, other)])
    first = both(x, 0)
    assert sorted(both.memory()) == sorted(first.memory) == ["0.y", "2.y"]
    assert torch.equal(both(x, 0).loss, first.loss)  # asked again from the beginning, it is at the beginning
    after = both(x, 1, memory=first.memory)
    plain = quadratic(pictures(3)).value(x).loss
    by_hand = sum(w * f(x, 1, memory={"y": first.memory[f"{k}.y"]}).loss for k, w, f in ((0, 1, one), (2, 2, other)))
    torch.testing.assert_close(after.loss, by_hand + plain)
    assert not torch.equal(after.loss, first.loss)
    assert torch.equal(both(x, 1, memory=first.memory).loss, after.loss)


def test_penalties_on_pixels_cost_no_pass():
    seen = Differentiable(lambda x, rows: x.flatten(1).sum(1), 2, passes=0)(pictures(1, 2), 0)
    assert (seen.forward, seen.backward) == (0, 0)


def test_repeated_and_reordered_rows_keep_their_own_function():
    t, x = pictures(1, 3), pictures(2, 4)
    picked = quadratic(t).rows([2, 0, 2, 1])
    torch.testing.assert_close(picked.value(x).loss, quadratic(t[[2, 0, 2, 1]]).value(x).loss)
    torch.testing.assert_close(picked.rows([1, 3]).value(x[:2]).loss, quadratic(t[[0, 1]]).value(x[:2]).loss)


def test_a_cycle_visits_its_objectives_in_turn_and_values_their_mean():
    x, parts = pictures(1), [quadratic(pictures(k)) for k in (2, 3, 4)]
    cycle = Cycle(parts)
    for step in range(7):
        assert torch.equal(cycle(x, step).grad, parts[step % 3](x, step).grad)
    torch.testing.assert_close(cycle.value(x).loss, mean_of(parts).value(x).loss)
    assert not cycle.fixed


# ------------------------------------------------------------------------------------------------ expectations


def test_the_gradient_through_a_transform_is_the_slope_of_its_mean():
    f = embedding_distance(Encoder(), Encoder().features(pictures(9, 2)), metric="mse")
    moving = Transformed(f, Spectrum(rho=0.3, sigma=2 / 255), 6, [1, 2], through=True)
    # far from 0 and 1, so that no value is clamped along the way
    slopes_agree(moving, pictures(1, 2, 0.45, 0.55), h=1e-3)


def test_not_through_a_transform_the_gradient_is_the_one_at_the_transformed_picture():
    # of 0.5 |y - t|^2 at y = IDCT(M DCT(x + n)): y - t, averaged; through it, IDCT(M DCT(y - t))
    t, x, spectrum = pictures(1), pictures(2, 1, 0.45, 0.55), Spectrum(0.3, 2 / 255)
    drawn = [spectrum.draw(x[0], stream(5, "transform", 3, k)) for k in range(4)]
    moved = [spectrum.apply(x[0], d) for d in drawn]
    plain = Transformed(quadratic(t), spectrum, 4, [5])(x, 3).grad[0]
    torch.testing.assert_close(plain, torch.stack([y - t[0] for y in moved]).mean(0), atol=1e-5, rtol=1e-4)
    through = Transformed(quadratic(t), spectrum, 4, [5], through=True)(x, 3).grad[0]
    wanted = torch.stack([spectrum.adjoint(y - t[0], d) for y, d in zip(moved, drawn, strict=True)]).mean(0)
    torch.testing.assert_close(through, wanted, atol=1e-5, rtol=1e-4)


def test_an_expectation_is_the_same_in_any_batch_and_any_chunk():
    t, x = pictures(1, 3), pictures(2, 3)
    whole = Transformed(quadratic(t), Spectrum(), 5, [7, 8, 9])
    seen = whole(x, 2)
    assert (seen.forward, seen.backward) == (15, 15)
    for b in range(3):
        alone = Transformed(quadratic(t[b : b + 1]), Spectrum(), 5, [[7, 8, 9][b]])(x[b : b + 1], 2)
        assert torch.equal(alone.grad[0], seen.grad[b])
        assert torch.equal(whole.rows([b])(x[b : b + 1], 2).grad[0], seen.grad[b])
    chunks = Transformed(quadratic(t), Spectrum(), 5, [7, 8, 9], at_once=2)(x, 2)
    torch.testing.assert_close(chunks.grad, seen.grad)
    torch.testing.assert_close(chunks.loss, seen.loss)
    torch.testing.assert_close(whole.value(x).loss, quadratic(t).value(x).loss)
    assert whole(x, 2, need_grad=False).grad is None


def test_the_gradient_of_a_patch_is_the_slope_where_it_was_pasted():
    f = embedding_distance(Encoder(10), Encoder(10).features(x_of(9, 2, 10)), metric="l2")
    placed = Placed(f, x_of(5, 2, 10), [1, 2])
    slopes_agree(placed, x_of(6, 2, 4), h=2e-3)


def test_places_fit_cover_the_carrier_and_belong_to_the_picture():
    carriers = torch.zeros(2, 3, 6, 7)
    placed = Placed(linear(torch.ones(2, 3, 6, 7)), carriers, [1, 2])
    corners = [placed.place(1, step, 4, 5) for step in range(300)]
    assert set(corners) == {(r, c) for r in range(3) for c in range(3)}
    patch = torch.rand(2, 3, 4, 5)
    whole, (first, second) = placed.paste(patch, 17)
    assert first == placed.place(1, 17, 4, 5)
    assert second == placed.rows([1]).place(2, 17, 4, 5)
    for b, (top, left) in enumerate((first, second)):
        assert torch.equal(whole[b, :, top : top + 4, left : left + 5], patch[b])
        assert float(whole[b].sum()) == pytest.approx(float(patch[b].sum()), rel=1e-5)
    assert torch.equal(carriers, torch.zeros(2, 3, 6, 7))
    assert placed.value(patch).forward == 8
    with pytest.raises(ValueError, match="does not fit"):
        placed.place(1, 0, 7, 5)
