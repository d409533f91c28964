"""SSIM, PSNR and the norms: golden values, a direct sum at one window, equality with scikit-image, and invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from proofglass.evaluation.similarity.pictures import WINDOWS, l2, linf, psnr, ssim

FUNCTIONS = (ssim, psnr, linf, l2)


def noise(seed, height=16, width=20):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def grey(level, height=12, width=15):
    return np.full((height, width, 3), level, np.uint8)


def slope():
    """a[y, x] = (7 x + 3 y) mod 256, and the same 8 levels up and down in turn."""
    y, x = np.mgrid[:32, :32]
    a = (7 * x + 3 * y) % 256
    b = np.clip(np.where((x + y) % 2 == 0, a + 8, a - 8), 0, 255)
    return a.astype(np.uint8), b.astype(np.uint8)


def test_golden_values_of_both_variants():
    a, b = slope()
    assert ssim(a, b, "default") == pytest.approx(0.903456, abs=1e-6)
    assert ssim(a, b, "wang") == pytest.approx(0.845592, abs=1e-6)
    assert ssim(a, a, "default") == ssim(a, a, "wang") == 1
    assert ssim(grey(100), grey(110), "default") == pytest.approx(0.995476, abs=1e-6)
    colour = np.stack([a, b, a], -1), np.stack([b, b, a], -1)
    assert ssim(*colour, "default") == pytest.approx(0.967819, abs=1e-6)


def test_constant_pictures_differ_by_their_light_alone():
    # (2 m1 m2 + C1) / (m1^2 + m2^2 + C1), C1 = (0.01 * 255)^2; the other factor is 1
    expected = (2 * 51 * 102 + 2.55**2) / (51**2 + 102**2 + 2.55**2)
    assert [ssim(grey(51), grey(102), name) for name in WINDOWS] == pytest.approx([expected] * 2, abs=1e-9)


def test_one_window_is_the_formula_with_gaussian_weights():
    # 11 x 11 pixels hold one window: the moments are plain weighted sums, written out here without convolution.
    one, other = noise(1, 11, 11).astype(float), noise(2, 11, 11).astype(float)
    weights = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    weights = np.outer(weights, weights) / np.outer(weights, weights).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    channels = []
    for c in range(3):
        a, b = one[..., c], other[..., c]
        ma, mb = (weights * a).sum(), (weights * b).sum()
        va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
        cov = (weights * (a - ma) * (b - mb)).sum()
        channels.append(((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    assert ssim(noise(1, 11, 11), noise(2, 11, 11)) == pytest.approx(np.mean(channels), abs=1e-12)


@given(st.integers(0, 1000), st.integers(1, 120), st.sampled_from(sorted(WINDOWS)))
def test_ssim_is_symmetric_at_most_one_and_one_for_the_same(seed, size, variant):
    one = noise(seed)
    shift = np.random.default_rng(seed + 1).integers(-size, size + 1, one.shape)
    other = np.clip(one.astype(int) + shift, 0, 255).astype(np.uint8)
    assert ssim(one, one, variant) == pytest.approx(1, abs=1e-9)
    assert ssim(one, other, variant) == pytest.approx(ssim(other, one, variant), abs=1e-12)
    assert -1 <= ssim(one, other, variant) <= 1


def test_more_noise_is_less_alike():
    clean, rough = noise(3, 32, 32), noise(4, 32, 32).astype(float) - 128
    louder = [np.clip(clean + s * rough, 0, 255).astype(np.uint8) for s in (0.05, 0.2, 0.8)]
    found = [ssim(clean, each) for each in louder]
    assert found == sorted(found, reverse=True)


@given(st.integers(0, 1000))
def test_psnr_is_that_of_scikit_image_and_infinite_for_equal_pictures(seed):
    one, other = noise(seed), noise(seed + 1)
    assert psnr(one, other) == pytest.approx(peak_signal_noise_ratio(one, other), abs=1e-9)
    assert psnr(one, one) == math.inf


def test_the_norms_count_in_levels_and_do_not_wrap_round():
    # 10 - 250 is -240, not 16: one channel of one of 12 * 15 pixels changes by 240, another by 3
    one, other = grey(250), grey(250)
    other[0, 0, 0], other[3, 4, 1] = 10, 253
    assert (linf(one, other), linf(other, one)) == (240, 240)
    assert l2(one, other) == pytest.approx(math.hypot(240, 3))
    assert psnr(one, other) == pytest.approx(10 * math.log10(255**2 / ((240**2 + 3**2) / (12 * 15 * 3))))
    assert psnr(grey(0), grey(255)) == 0


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((grey(1, 12, 12), grey(1, 12, 13)), "of one shape"),
        ((grey(1), grey(1).astype(float)), "expected 8-bit pictures"),
        ((grey(1, 0, 12), grey(1, 0, 12)), "of one shape"),
        ((np.zeros(9, np.uint8), np.zeros(9, np.uint8)), "of one shape"),
    ],
)
def test_pictures_that_cannot_be_compared_are_refused(function, pair, words):
    with pytest.raises(ValueError, match=f"{function.__name__}: .*{words}"):
        function(*pair)


def test_a_picture_smaller_than_the_window_is_refused():
    ssim(grey(1, 7, 7), grey(2, 7, 7), "default")
    for variant, size in WINDOWS.items():
        with pytest.raises(ValueError, match=f"at least {size} x {size} pixels"):
            ssim(grey(1, size - 1, 40), grey(1, size - 1, 40), variant)
    with pytest.raises(ValueError, match="variant: expected default or wang"):
        ssim(grey(1), grey(1), "other")
