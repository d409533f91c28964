"""Losses and gradients to the pixels through a defense: draws, the chain rule, sizes and ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from defenses.opened_parts import CHAT, PAIRS, PICTURE, Dimmed, some_pixels
from proofglass import Lens, Opened
from proofglass.defenses.inference.none import NoDefense
from proofglass.engine.seeds import draw_of, drawing
from proofglass.types import Image
from proofglass.victims.own import OwnModule
from strangers.random_resize import RandomResize
from toy_module import Toy


@pytest.fixture
def toy() -> OwnModule:
    return OwnModule(Toy())


def test_losses_are_means_over_the_draws_and_gradients_follow_them_by_the_chain_rule(toy: OwnModule) -> None:
    # d/dx f(c x) = c f'(c x), c drawn from (key, seed, step, k).
    from proofglass.engine.seeds import stream

    defense, x = Dimmed(), some_pixels()
    view, prepared = defense.opened(toy), toy.prepare(PAIRS)
    with drawing([5, 6], 7):
        found = view.loss_and_grad(x, prepared)
    factor = torch.tensor(
        [
            [0.5 + 0.5 * float(torch.rand((), generator=stream(defense.key, "image", s, 7, k))) for s in (5, 6)]
            for k in range(3)
        ]
    )[..., None, None, None]
    each = [toy.loss_and_grad(x * c, prepared) for c in factor]
    torch.testing.assert_close(found.loss, torch.stack([e.loss for e in each]).mean(0))
    torch.testing.assert_close(found.nll, torch.stack([e.nll for e in each]).mean(0), equal_nan=True)
    grads = [c * e.pixels for c, e in zip(factor, each, strict=True)]
    torch.testing.assert_close(found.pixels, torch.stack(grads).mean(0))


def test_gradients_through_draws_equal_finite_differences() -> None:
    toy = OwnModule(Toy().double())
    view, x = RandomResize(0.6, draws=2).opened(toy), some_pixels().double()
    prepared, way = view.prepare(PAIRS), torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    with drawing([1, 2], 3):
        grad = view.loss_and_grad(x, prepared).pixels
        ahead, behind = (view.loss_and_grad(x + h * way, prepared, need_grad=False).loss for h in (1e-6, -1e-6))
    torch.testing.assert_close((grad * way).flatten(1).sum(1), (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-7)


def test_a_draw_belongs_to_the_picture_and_the_step(toy: OwnModule) -> None:
    view, x = RandomResize(0.5).opened(toy), some_pixels()

    def loss(seeds: list[int], step: int, rows: list[int]) -> torch.Tensor:
        with drawing(seeds, step):
            return view.loss_and_grad(x[rows], view.prepare([PAIRS[b] for b in rows])).loss

    both = loss([5, 6], 7, [0, 1])
    torch.testing.assert_close(both, torch.cat([loss([5], 7, [0]), loss([6], 7, [1])]))
    assert torch.equal(both, loss([5, 6], 7, [0, 1]))
    assert not torch.allclose(both, loss([5, 6], 8, [0, 1]))
    assert not torch.allclose(both, loss([6, 5], 7, [0, 1]))


def test_seeds_of_another_number_of_pictures_are_an_error(toy: OwnModule) -> None:
    view = Dimmed().opened(toy)
    with drawing([1], 0), pytest.raises(ValueError, match="2 pictures are evaluated under the seeds of 1"):
        view.loss_and_grad(some_pixels(), view.prepare(PAIRS))
    assert draw_of(2) == ((0, 0), "alone")


def test_members_of_a_stack_draw_apart_and_their_draws_multiply(toy: OwnModule) -> None:
    seen: list[tuple[str, float]] = []

    @dataclass(frozen=True)
    class Noting(Dimmed):
        least: float = 0.5

        def dim(self, x: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
            factor = float(torch.rand((), generator=draws))
            seen.append((self.key, factor))
            return x * factor

    view = Noting(0.5).opened(Noting(0.6).opened(toy))
    assert view.draws == 9
    prepared = view.prepare(PAIRS[:1])
    seen.clear()
    view.loss_and_grad(some_pixels(1), prepared)
    assert len(seen) == 3 + 9
    assert len({factor for _, factor in seen}) == 12


def test_logits_and_features_are_of_what_reaches_the_model(toy: OwnModule) -> None:
    half = Opened(toy, NoDefense(), Lens(pixels=lambda x, _: x / 2))
    x, prepared = some_pixels(), toy.prepare(PAIRS)
    for found, expected in zip(half.target_logits(x, prepared), toy.target_logits(x / 2, prepared), strict=True):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)
    torch.testing.assert_close(half.features(x), toy.features(x / 2))

    def loss(found: torch.Tensor) -> torch.Tensor:
        return (found**2).flatten(1).sum(1)

    value, grad = half.features_and_grad(x, loss)
    expected_value, expected_grad = toy.features_and_grad(x / 2, loss)
    torch.testing.assert_close(value, expected_value)
    torch.testing.assert_close(grad, expected_grad / 2)
    leaf = x.clone().requires_grad_()
    loss(half.features(leaf)).sum().backward()
    torch.testing.assert_close(leaf.grad, grad)
    seen = Image.from_array((PICTURE.array() / 2).round().astype(np.uint8))
    assert torch.equal(half.next_token_logits([CHAT]), toy.next_token_logits([CHAT.with_image(seen)]))


def test_a_map_without_a_gradient_says_that_its_own_is_passed_through(toy: OwnModule) -> None:
    def levels(x: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        return (x.detach() * 7).round() / 7

    x, prepared = some_pixels(), toy.prepare(PAIRS)
    with pytest.raises(ValueError, match=r"gives no gradient .* straight_through=True"):
        Opened(toy, NoDefense(), Lens(pixels=levels)).loss_and_grad(x, prepared)
    view = Opened(toy, NoDefense(), Lens(pixels=levels, straight_through=True))
    expected = toy.loss_and_grad(levels(x, torch.Generator()), prepared)
    torch.testing.assert_close(view.loss_and_grad(x, prepared).pixels, expected.pixels)
    assert view.gradient_path().endswith("(straight through)")


def test_a_picture_of_another_size_is_brought_back_and_stays_in_range(toy: OwnModule) -> None:
    view = Opened(toy, NoDefense(), Lens(pixels=lambda x, _: 3 * x[..., ::2, ::2]))
    found = view.loss_and_grad(some_pixels(), view.prepare(PAIRS))  # the module takes 12 x 8 pixels in [0, 1] only
    assert found.pixels.shape == (2, 3, 12, 8)


@pytest.mark.parametrize("port", ["loss_and_grad", "target_logits", "features", "features_and_grad", "margin_and_grad"])
def test_pixels_outside_the_range_are_refused_before_the_lens_could_cut_them(port: str, toy: OwnModule) -> None:
    view = Dimmed().opened(toy)
    more = {"features": (), "features_and_grad": (sum,), "margin_and_grad": ([CHAT, CHAT],)}
    with pytest.raises(ValueError, match=f"{port}: pixels: expected values in"):
        getattr(view, port)(some_pixels() + 2, *more.get(port, (view.prepare(PAIRS),)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"draws": -1}, "draws: expected 0"),
        ({"draws": 2}, "draws, straight_through: say something of `pixels`"),
        ({"straight_through": True}, "draws, straight_through: say something of `pixels`"),
    ],
)
def test_a_lens_that_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Lens(**wrong)
