"""What encoders do to a picture before they look: sizes, crops, padding, normalisation, refused pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from proofglass.images.resize import BICUBIC, BILINEAR
from proofglass.interfaces import checked
from proofglass.models.resizing import Preparation
from real_photos import assert_gradient_is_the_slope, weighed


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels(levels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255


# 7 rows, crop of 4: (7 - 4) / 2 = 1.5 is 1 rounded down and 2 rounded to even; 5 rows: 0.5 is 0 both ways.
@pytest.mark.parametrize(
    ("middle", "side", "first"), [("floor", 7, 1), ("even", 7, 2), ("floor", 5, 0), ("even", 5, 0)]
)
def test_half_a_pixel_of_the_crop_is_rounded_as_the_library_does(middle, side: int, first: int) -> None:
    x = pixels(picture(side, side))
    assert torch.equal(Preparation(None, (4, 4), middle=middle)(x), x[..., first : first + 4, first : first + 4])


# 5 rows, crop of 8: transformers puts ceil(1.5) = 2 rows of zeros above, torchvision floor(1.5) = 1.
@pytest.mark.parametrize(("middle", "above"), [("floor", 2), ("even", 1)])
def test_a_picture_smaller_than_the_crop_gets_zeros_around_it(middle, above: int) -> None:
    x = pixels(picture(5, 10))
    found = Preparation(None, (8, 8), middle=middle)(x)
    assert found.shape == (1, 3, 8, 8)
    assert torch.equal(found[:, :, above : above + 5], x[..., 1:9])
    assert found[:, :, :above].abs().sum() == found[:, :, above + 5 :].abs().sum() == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.sampled_from([BILINEAR, BICUBIC]))
def test_the_shorter_side_takes_the_size_and_the_longer_follows(
    height: int, width: int, side: int, filter_: int
) -> None:
    levels = picture(height, width, height + 90 * width)
    longer = int(side * max(height, width) / min(height, width))
    size = (side, longer) if width <= height else (longer, side)  # width, height
    expected = np.array(Pillow.fromarray(levels).resize(size, filter_))
    found = Preparation(side, resample=filter_)(pixels(levels))
    assert torch.equal((255 * found).round(), 255 * pixels(expected))


def test_mean_and_deviation_are_those_of_levels_where_the_network_takes_levels() -> None:
    x = torch.full((1, 3, 2, 2), 0.5)
    found = Preparation(None, mean=(123.0, 117.0, 104.0), std=(1.0, 2.0, 4.0), scale=255.0)(x)
    torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([4.5, 5.25, 5.875]))  # (127.5 - mean) / std


@pytest.mark.parametrize("size", [12, (9, 14), None])
def test_gradient_is_the_slope(size) -> None:
    ready = Preparation(size, (8, 10), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), rounded=False)
    assert_gradient_is_the_slope(lambda x: weighed(ready(x)), pixels(picture(17, 23)))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (torch.zeros(3, 4, 4), r"\[B, 3, H, W\]"),
        (torch.zeros(1, 1, 4, 4), r"\[B, 3, H, W\]"),
        (torch.zeros(1, 3, 0, 4), r"\[B, 3, H, W\]"),
        (torch.full((1, 3, 4, 4), 255, dtype=torch.uint8), "divide levels by 255"),
        (torch.full((1, 3, 4, 4), 1.01), "normalised"),
        (torch.full((1, 3, 4, 4), -0.01), "normalised"),
        (torch.full((1, 3, 4, 4), float("nan")), r"\[0, 1\]"),
    ],
)
def test_pixels_that_are_none_are_refused(bad: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked(bad, "features")
