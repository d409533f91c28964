"""Structural similarity: the golden value of constant pictures, a direct sum at one window, and invariants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.metrics.ssim import similarity, ssim
from proofglass.types import Image


def noise(seed, height=16, width=20):
    return np.random.default_rng(seed).random((height, width, 3))


def test_constant_pictures_differ_by_their_light_alone():  # G24
    half, more = np.full((12, 15, 3), 0.5), np.full((12, 15, 3), 0.6)
    assert ssim(half, more) == pytest.approx((2 * 0.3 + 1e-4) / (0.25 + 0.36 + 1e-4), abs=1e-9)
    assert ssim(half, more) == pytest.approx(0.9836092, abs=1e-6)


def test_one_window_is_the_formula_with_gaussian_weights():
    # 11 x 11 pixels hold one window: the moments are plain weighted sums, written out here without convolution.
    one, other = noise(1, 11, 11), noise(2, 11, 11)
    weights = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    weights = np.outer(weights, weights) / np.outer(weights, weights).sum()
    channels = []
    for c in range(3):
        a, b = one[..., c], other[..., c]
        ma, mb = (weights * a).sum(), (weights * b).sum()
        va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
        cov = (weights * (a - ma) * (b - mb)).sum()
        channels.append(((2 * ma * mb + 1e-4) * (2 * cov + 9e-4)) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))
    assert ssim(one, other) == pytest.approx(np.mean(channels), abs=1e-12)


@given(st.integers(0, 1000), st.floats(0.01, 0.5))
def test_it_is_symmetric_at_most_one_and_one_for_the_same(seed, size):
    one = noise(seed)
    other = np.clip(one + size * (noise(seed + 1) - 0.5), 0, 1)
    assert ssim(one, one) == pytest.approx(1, abs=1e-9)
    assert ssim(one, other) == pytest.approx(ssim(other, one), abs=1e-12)
    assert -1 <= ssim(one, other) < 1


def test_more_noise_is_less_alike():
    clean = noise(3, 32, 32)
    found = [ssim(clean, np.clip(clean + s * (noise(4, 32, 32) - 0.5), 0, 1)) for s in (0.05, 0.2, 0.8)]
    assert found == sorted(found, reverse=True)


def test_8_bit_pictures_are_compared_in_0_1():
    dark, light = (Image.from_array(np.full((11, 11, 3), grey, np.uint8)) for grey in (51, 102))  # 0.2 and 0.4
    assert similarity(dark, light) == pytest.approx((2 * 0.08 + 1e-4) / (0.04 + 0.16 + 1e-4), abs=1e-9)


@pytest.mark.parametrize("shapes", [((12, 12, 3), (12, 13, 3)), ((10, 20, 3), (10, 20, 3)), ((12, 12), (12, 12))])
def test_pictures_that_cannot_be_compared_are_refused(shapes):
    with pytest.raises(ValueError, match="ssim"):
        ssim(*(np.zeros(shape) for shape in shapes))
