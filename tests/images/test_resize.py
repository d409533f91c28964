"""The differentiable resize against Pillow itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from torch.utils._python_dispatch import TorchDispatchMode

from proofglass.images import passes
from proofglass.images.resize import _passes, resize

SIDES = st.integers(1, 90)


def _pixels(levels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(levels.transpose(2, 0, 1)[None].astype(np.float32) / 255)


@settings(max_examples=150, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_equal_to_pillow_to_the_last_level(h: int, w: int, height: int, width: int, resample: int, seed: int) -> None:
    levels = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    expected = np.asarray(Pillow.fromarray(levels).resize((width, height), resample))
    small = torch.from_numpy(levels).permute(2, 0, 1)[None]
    assert np.array_equal(resize(small, (height, width), resample)[0].permute(1, 2, 0).numpy(), expected)
    # Pixels as floats: Pillow itself without a gradient, our own passes with one, and the same numbers.
    plain, own = (resize(_pixels(levels).requires_grad_(grad), (height, width), resample) for grad in (False, True))
    assert torch.equal(plain, own)
    assert np.array_equal((own.detach()[0] * 255).round().byte().permute(1, 2, 0).numpy(), expected)


def _dense(x: torch.Tensor, size: tuple[int, int], resample: int, rounded: bool) -> torch.Tensor:
    """The definition: each pass one product with all weights, by autograd."""
    levels = 255 * x.double()
    for is_height, bands in _passes(*x.shape[-2:], *size, resample):
        table = torch.zeros(bands[-1].new.stop, (levels.mT if is_height else levels).shape[-1], dtype=torch.float64)
        for band in bands:
            table[band.new, band.old] = band.weights
        smooth = ((levels.mT if is_height else levels) @ table.T / 2**22).clamp(0, 255)
        if rounded:
            smooth = smooth + ((smooth + 0.5).floor().clamp(0, 255) - smooth).detach()
        levels = smooth.mT if is_height else smooth
    return (levels / 255).to(x.dtype)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(1, 5), st.booleans(), st.integers(0, 2**32 - 1))
def test_value_and_gradient_of_any_pixels_are_those_of_the_definition(
    h: int, w: int, height: int, width: int, resample: int, rounded: bool, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    x, weights = torch.rand(2, 3, h, w, generator=draw), torch.rand(2, 3, height, width, generator=draw)
    x[0, 0] = x[0, 0].round()  # black and white, where a bicubic filter overshoots and is clamped
    found = []
    for function in (resize, _dense):
        leaf = x.clone().requires_grad_()
        value = function(leaf, (height, width), resample, rounded)
        (value * weights).sum().backward()
        found.append((value.detach(), leaf.grad))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-7, rtol=0)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-6, rtol=1e-6)


class _Largest(TorchDispatchMode):
    """Bytes of the largest tensor of float64 that any operation gives."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and found.dtype == torch.float64:
            self.most = max(self.most, found.nbytes)
        return found


@pytest.mark.parametrize("size", [(96, 96), (1500, 64), (64, 1500)])
def test_a_large_picture_is_never_held_in_double_precision(size: tuple[int, int]) -> None:
    x = (torch.rand(1, 3, 1400, 1400) * 255).round() / 255
    with _Largest() as without:
        resize(x, size)
    leaf = x.requires_grad_()
    with _Largest() as with_gradient:
        value = resize(leaf, size)
    # 3 x 1400 x 1400 doubles are 47 MB; the result, in doubles before it is rounded to float32, is at most 2.3 MB.
    assert without.most <= 3 * size[0] * size[1] * 8
    assert with_gradient.most <= 2 * 8 * passes.STRIP
    value.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.dtype == torch.float32


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 7), st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000))
def test_strips_hold_every_row_once_and_none_is_large(many: int, rows: int, columns: int, longest: int) -> None:
    seen = np.zeros((many, rows), int)
    for at in passes.strips((many, rows, columns), longest):
        seen[at] += 1
        held = seen[at].size
        assert held * max(columns, longest) <= passes.STRIP or held == 1
    assert (seen == 1).all()


@pytest.mark.parametrize("size", [(301, 60), (47, 500), (20, 33), (333, 333)])
def test_equal_on_larger_pictures_in_either_order_of_passes(size: tuple[int, int]) -> None:
    levels = np.random.default_rng(5).integers(0, 256, (211, 180, 3), dtype=np.uint8)
    expected = np.asarray(Pillow.fromarray(levels).resize(size[::-1], 3)).astype(int)
    found = (resize(_pixels(levels).requires_grad_(), size).detach()[0] * 255).round().int().permute(1, 2, 0).numpy()
    assert (found == expected).all()


@pytest.mark.parametrize(("old", "new"), [((174, 121), (179, 131)), ((139, 174), (126, 188)), ((79, 12), (186, 34))])
def test_hammings_weights_are_pillows_to_the_last_bit(old: tuple[int, int], new: tuple[int, int]) -> None:
    """Constants in double precision would move a pixel in some 10,000 by a level."""
    for seed in range(3):
        levels = np.random.default_rng(seed).integers(0, 256, (*old, 3), dtype=np.uint8)
        expected = np.asarray(Pillow.fromarray(levels).resize(new[::-1], 5)).astype(int)
        found = resize(_pixels(levels).requires_grad_(), new, 5).detach()[0]
        found = (found * 255).round().int().permute(1, 2, 0).numpy()
        assert (found == expected).all()


def test_the_gradient_is_the_slope_of_the_unrounded_resize() -> None:
    x = torch.rand(1, 3, 11, 17, dtype=torch.float64) * 0.5 + 0.25
    assert torch.autograd.gradcheck(lambda p: resize(p, (7, 23), rounded=False), (x.requires_grad_(),))


def test_rounding_passes_the_gradient_straight_through() -> None:
    levels = torch.randint(60, 200, (1, 3, 9, 14)).float() / 255
    weights = torch.rand(1, 3, 5, 20)
    grads = []
    for rounded in (True, False):
        x = levels.clone().requires_grad_()
        (resize(x, (5, 20), 2, rounded) * weights).sum().backward()
        assert x.grad is not None
        grads.append(x.grad)
    assert torch.allclose(grads[0], grads[1], atol=1e-6)


@pytest.mark.parametrize(("size", "resample"), [((0, 5), 3), ((5, 5), 6)])
def test_refuses_what_it_cannot_do(size: tuple[int, int], resample: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        resize(torch.zeros(1, 3, 4, 4), size, resample)
