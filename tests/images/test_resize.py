"""The differentiable resize against Pillow itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from proofglass.images.resize import resize

SIDES = st.integers(1, 90)


def _pixels(levels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(levels.transpose(2, 0, 1)[None].astype(np.float32) / 255)


@settings(max_examples=150, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_equal_to_pillow_to_the_last_level(h: int, w: int, height: int, width: int, resample: int, seed: int) -> None:
    levels = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    expected = np.asarray(Pillow.fromarray(levels).resize((width, height), resample)).astype(int)
    found = (resize(_pixels(levels), (height, width), resample)[0] * 255).round().int().permute(1, 2, 0).numpy()
    assert (found == expected).all()


@pytest.mark.parametrize("size", [(301, 60), (47, 500), (20, 33), (333, 333)])
def test_equal_on_larger_pictures_in_either_order_of_passes(size: tuple[int, int]) -> None:
    levels = np.random.default_rng(5).integers(0, 256, (211, 180, 3), dtype=np.uint8)
    expected = np.asarray(Pillow.fromarray(levels).resize(size[::-1], 3)).astype(int)
    found = (resize(_pixels(levels), size)[0] * 255).round().int().permute(1, 2, 0).numpy()
    assert (found == expected).all()


@pytest.mark.parametrize(("old", "new"), [((174, 121), (179, 131)), ((139, 174), (126, 188)), ((79, 12), (186, 34))])
def test_hammings_weights_are_pillows_to_the_last_bit(old: tuple[int, int], new: tuple[int, int]) -> None:
    """Constants in double precision would move a pixel in some 10,000 by a level."""
    for seed in range(3):
        levels = np.random.default_rng(seed).integers(0, 256, (*old, 3), dtype=np.uint8)
        expected = np.asarray(Pillow.fromarray(levels).resize(new[::-1], 5)).astype(int)
        found = (resize(_pixels(levels), new, 5)[0] * 255).round().int().permute(1, 2, 0).numpy()
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
