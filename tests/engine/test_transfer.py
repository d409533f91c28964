"""What makes pictures transfer: the DCT, spectrum simulation (SSA) and the common-weakness step (CWA)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.engine import CommonWeakness, Cycle, Differentiable, LInf, Schedule, Spectrum, Transformed, minimise
from proofglass.engine.seeds import stream
from proofglass.engine.transfer import Resized, dct, dct_matrix, idct, resized

sides = st.integers(1, 9)
seeds = st.integers(0, 2**31)


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_dct_of_four_numbers_is_the_one_worked_out_by_hand():  # G13
    found = dct(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    torch.testing.assert_close(found, torch.tensor([[5.0, -2.230442, 0.0, -0.158513]]), atol=1e-6, rtol=0)
    # The unnormalised transform of published code is 2 sqrt(n) times the first and sqrt(2 n) times the other ones.
    scale = torch.tensor([4.0, math.sqrt(8), math.sqrt(8), math.sqrt(8)])
    torch.testing.assert_close(found[0] * scale, torch.tensor([20.0, -6.308644, 0.0, -0.448342]), atol=2e-6, rtol=0)


def test_a_mask_in_the_spectrum_of_two_by_two_gives_the_picture_worked_out_by_hand():  # G13
    x, mask = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.5], [1.5, 1.0]])
    unnormalised = torch.tensor([[16.0, math.sqrt(128)], [math.sqrt(128), 8.0]]) / 2
    torch.testing.assert_close(dct(x) * unnormalised, torch.tensor([[40.0, -5.656854], [-11.313708, 0.0]]))
    wanted = torch.tensor([[0.75, 1.25], [3.75, 4.25]])
    torch.testing.assert_close(idct(mask * dct(x)), wanted)
    torch.testing.assert_close(Spectrum().apply(x, (mask, torch.zeros(2, 2))), wanted)


@given(sides, sides, seeds)
def test_the_dct_is_orthogonal_and_its_inverse_brings_the_picture_back(height, width, seed):
    x = gaussian(3, height, width, seed=seed)
    torch.testing.assert_close(idct(dct(x)), x, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dct(x).norm(), x.norm())
    torch.testing.assert_close(dct_matrix(height) @ dct_matrix(height).T, torch.eye(height), atol=1e-6, rtol=0)


@given(sides, sides, seeds)
def test_without_noise_and_scaling_spectrum_simulation_is_the_identity(height, width, seed):
    x, spectrum = torch.rand(3, height, width), Spectrum(rho=0, sigma=0)
    torch.testing.assert_close(spectrum.apply(x, spectrum.draw(x, stream(seed))), x, atol=1e-5, rtol=0)


@given(sides, sides, seeds)
def test_the_map_of_a_drawn_mask_is_its_own_adjoint(height, width, seed):  # <T a, b> = <a, T b>
    spectrum = Spectrum(sigma=0)
    a, b = gaussian(3, height, width, seed=seed), gaussian(3, height, width, seed=seed + 1)
    drawn = spectrum.draw(a, stream(seed))
    torch.testing.assert_close(
        (spectrum.apply(a, drawn) * b).sum(), (a * spectrum.apply(b, drawn)).sum(), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(spectrum.adjoint(b, drawn), spectrum.apply(b, drawn))


@given(seeds)
@settings(max_examples=10)
def test_the_adjoint_is_the_chain_rule_through_the_transform(seed):
    spectrum, x, weight = Spectrum(), torch.rand(3, 5, 4, requires_grad=True), gaussian(3, 5, 4, seed=seed)
    drawn = spectrum.draw(x.detach(), stream(seed))
    (exact,) = torch.autograd.grad((spectrum.apply(x, drawn) * weight).sum(), x)
    torch.testing.assert_close(spectrum.adjoint(weight, drawn), exact, atol=1e-5, rtol=1e-5)


def test_spectrum_simulation_keeps_the_mean_and_moves_by_the_variance_worked_out_by_hand():
    # Scaling by M = 1 + U(-rho, rho) has variance rho^2 / 3 per coefficient, and the transform keeps lengths:
    # E||x~ - x||^2 = rho^2 / 3 ||x||^2 + sigma^2 d (1 + rho^2 / 3).
    x, spectrum, n = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1)), Spectrum(), 4000
    seen = torch.stack([spectrum.apply(x, spectrum.draw(x, stream("moments", k))) for k in range(n)])
    expected = 0.25 / 3 * float(x.square().sum()) + (16 / 255) ** 2 * x.numel() * (1 + 0.25 / 3)
    squares = (seen - x).square().flatten(1).sum(1)
    error = float(squares.std()) / math.sqrt(n)
    assert abs(float(squares.mean()) - expected) < 5 * error
    assert error < 0.01 * expected  # sharp enough to tell rho^2 / 3 from rho^2 / 4
    worst = ((seen.mean(0) - x) / (seen.std(0) / math.sqrt(n))).abs().max()
    assert worst < 5


class Pull(Differentiable):
    """A linear loss g . x that sees every picture alike."""

    def __init__(self, g):
        super().__init__(lambda x, rows: (g * x).flatten(1).sum(1), 1)

    def rows(self, picks):
        return self


def as_picture(*values):
    """Three numbers as the channels of a 1 x 1 picture."""
    return torch.tensor(values).reshape(1, 3, 1, 1)


# Ascent along g is descent along -g.
PULLS = (Pull(-as_picture(3.0, -4.0, 0.0)), Pull(-as_picture(0.0, -1.0, 1.0)))
GREY = as_picture(0.5, 0.5, 0.5)


def walk(steps, x0=GREY, pulls=PULLS, step=None):
    """The states of `steps` steps of CWA through `minimise`."""
    rule, seen = step or CommonWeakness(2, xi=0.02, beta=0.04), []

    class Watched:
        needs_grad = True
        init = staticmethod(rule.init)

        def __call__(self, at, state):
            seen.append(rule(at, state))
            return seen[-1]

    minimise(Cycle(pulls), x0, constraint=LInf(0.1, "clean"), step=Watched(), schedule=Schedule(steps))
    return seen


def numbers(tensor):
    return tensor.flatten().tolist()


def test_the_common_weakness_walks_the_two_rounds_worked_out_by_hand():  # G14
    (first, _), (second, after_one), _, (end, after_two) = walk(4)
    assert numbers(first) == pytest.approx([0.524, 0.468, 0.5], abs=1e-6)
    # The iterate before the outer step: m_in of the round is g1 / (5 + 1e-5) + g2 / (sqrt 2 + 1e-5).
    inner = after_one["inner"]
    assert numbers(first - 0.04 * inner) == pytest.approx([0.548, 0.407716, 0.528284], abs=1e-6)
    assert numbers(second) == pytest.approx([0.52, 0.48, 0.52], abs=1e-6)
    assert numbers(after_one["outer"]) == pytest.approx([0.284751, -0.547459, 0.167790], abs=1e-6)
    assert numbers(end) == pytest.approx([0.54, 0.46, 0.54], abs=1e-6)
    assert numbers(after_two["outer"]) == pytest.approx([0.618084, -0.880792, 0.501124], abs=1e-6)
    assert numbers(after_two["inner"]) == pytest.approx([-1.199998, 3.014200, -1.414204], abs=1e-5)


def test_no_common_weakness_norm_is_taken_over_the_batch():  # pitfall 9
    # The second picture starts at the edge of the box: its D is another one, and must not touch the first's momentum.
    both = walk(4, torch.cat([GREY, as_picture(1.0, 0.0, 1.0)]))
    alone = walk(4)
    for (x, state), (own, own_state) in zip(both, alone, strict=True):
        torch.testing.assert_close(x[:1], own, atol=1e-6, rtol=0)
        for name in state:
            torch.testing.assert_close(state[name][:1], own_state[name], atol=1e-6, rtol=0)


def test_a_round_that_moves_nothing_keeps_the_momentum_and_makes_no_nan():
    corner = as_picture(1.0, 0.0, 1.0)  # ascent along (3, -4, 0) and (0, -1, 1) leaves the box: D = 0
    for x, state in walk(4, corner):
        torch.testing.assert_close(x, corner)
        assert all(torch.isfinite(tensor).all() for tensor in state.values())
        assert state["outer"].abs().max() == 0


@given(seeds)
@settings(max_examples=15)
def test_five_rounds_of_the_default_step_span_the_ball_and_never_leave_it(seed):
    pulls = [Pull(gaussian(1, 3, 4, 4, seed=seed + k)) for k in range(2)]
    x0 = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    steps = walk(10, x0, pulls, CommonWeakness(2))
    # Float32 sums of 16 / 255: a tenth of a thousandth of a level is the ball.
    assert all(
        float((x - x0).abs().max()) <= 0.1 + 1e-6 and 0 <= float(x.min()) <= float(x.max()) <= 1 for x, _ in steps
    )
    for round_, (x, _) in enumerate(steps[1::2], start=1):
        assert float((x - x0).abs().max()) <= round_ * 16 / 255 / 5 + 1e-6


def test_a_cycle_asks_each_surrogate_in_order():
    seen = [float(Cycle(PULLS)(GREY, step).loss) for step in range(4)]
    assert seen == pytest.approx([0.5, 0.0, 0.5, 0.0])
    assert float(Cycle(PULLS).value(GREY).loss) == pytest.approx(0.25)


def quadratic():
    return Differentiable(lambda x, rows: (x**2).flatten(1).sum(1), 2)


@pytest.mark.parametrize("through", [False, True])
def test_the_gradient_of_a_transformed_objective_is_that_of_its_definition(through):
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(3)) * 0.2 + 0.4
    spectrum, draws = Spectrum(rho=0.1, sigma=0.01), 7
    found = Transformed(quadratic(), spectrum, draws, (5, 6), through, at_once=3)(x, 2)
    for b, seed in enumerate((5, 6)):
        grads, losses = [], []
        for k in range(draws):
            drawn = spectrum.draw(x[b], stream(seed, "transform", 2, k))
            y = spectrum.apply(x[b], drawn)
            assert 0 < float(y.min()) <= float(y.max()) < 1
            grads.append(spectrum.adjoint(2 * y, drawn) if through else 2 * y)
            losses.append((y**2).sum())
        torch.testing.assert_close(found.grad[b], torch.stack(grads).mean(0), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.loss[b], torch.stack(losses).mean())
    assert (found.forward, found.backward) == (2 * draws, 2 * draws)


def test_what_a_transform_drives_out_of_the_range_is_clamped_and_gets_no_gradient():
    x = torch.ones(1, 3, 2, 2)
    found = Transformed(quadratic(), Spectrum(rho=0, sigma=1e-3), 200, (1,))(x, 0)
    # A value at the edge leaves the range in half of the draws; in the others its gradient is 2 x = 2.
    assert float(found.grad.mean()) == pytest.approx(1.0, abs=0.2)
    assert float(found.loss) < 12


def test_a_resized_objective_takes_its_size_and_pulls_the_gradient_back():
    x = torch.rand(1, 3, 8, 6, generator=torch.Generator().manual_seed(4))
    weight = gaussian(1, 3, 4, 4, seed=4)
    small = Resized(Pull(weight), (4, 4))
    found = small(x, 0)
    assert float(found.loss) == pytest.approx(float((resized(x, (4, 4)) * weight).sum()), abs=1e-5)
    assert float(small.value(x).loss) == float(found.loss)
    direction = gaussian(1, 3, 8, 6, seed=5)
    # Linear, so that the difference is the derivative.
    difference = float(small.value(x + 0.01 * direction.clamp(-0.3, 0.3)).loss - small.value(x).loss)
    wanted = float((found.grad * 0.01 * direction.clamp(-0.3, 0.3)).sum())
    assert difference == pytest.approx(wanted, abs=2e-5)
    torch.testing.assert_close(Resized(Pull(weight), (4, 4))(x[..., :4, :4], 0).grad, weight)


def test_bad_numbers_name_the_field():
    with pytest.raises(ValueError, match="surrogates"):
        CommonWeakness(0)
