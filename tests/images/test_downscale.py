"""Pictures that show a payload once Pillow has shrunk them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from proofglass.images.downscale import FILTERS, MOST, Downscale, Filter, hidden
from proofglass.images.resize import matrix
from proofglass.types import Image


def photo(height: int, width: int, seed: int = 0) -> Image:
    """Soft hills with some noise, away from black and white."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    hills = np.stack([128 + 50 * np.sin(x / 17 + k + y / 29) for k in range(3)], -1)
    return Image.from_array((hills + rng.normal(0, 6, hills.shape)).clip(0, 255).astype(np.uint8))


def spotted(small: Image, by: int = 40) -> Image:
    """`small`, lighter by `by` levels in a square of its middle."""
    levels = small.array().astype(int)
    h, w = levels.shape[:2]
    levels[h // 3 : 2 * h // 3, w // 3 : 2 * w // 3] += by
    return Image.from_array(levels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("filter", FILTERS)
def test_pillow_itself_makes_the_payload_of_the_picture(filter: Filter) -> None:
    # 40 levels on a photo that leaves room on both sides: every filter can reach it. Rounding between Pillow's two
    # passes and the tolerance of the linear model leave a level at most.
    downscale = Downscale(32, 24, filter)
    cover = photo(96, 128)
    payload = spotted(downscale(cover))
    found = hidden(cover, payload, downscale)
    shrunk = np.asarray(Pillow.fromarray(found.image.array()).resize((32, 24), FILTERS[filter]))
    assert np.abs(shrunk.astype(int) - payload.array()).max() == found.residual_max <= 1


def test_nearest_moves_one_pixel_in_sixteen_and_nothing_else() -> None:
    # At a fourth of each side, Pillow's nearest reads one pixel of 16, and the payload differs in (8 x 8) of (24 x 24).
    downscale = Downscale(24, 24, "nearest")
    cover = photo(96, 96)
    found = hidden(cover, spotted(downscale(cover)), downscale)
    assert found.residual_max == 0
    assert found.changed == pytest.approx(64 / (96 * 96))
    assert found.linf == 40


def test_box_moves_the_mean_by_as_much_as_the_payload_stands_out() -> None:
    # A mean over 4 x 4 pixels rises by 40 with the least squares if each rises by 40: no hiding there.
    downscale = Downscale(24, 24, "box")
    cover = photo(96, 96)
    found = hidden(cover, spotted(downscale(cover)), downscale)
    assert abs(found.linf - 40) <= 1
    assert abs(found.blurred - 40) <= 1
    assert found.changed == pytest.approx(64 / 576, abs=0.01)


def test_no_other_picture_with_this_downscale_is_nearer() -> None:
    # Whatever is added that the downscale does not see (noise less its own lift) takes the picture further away.
    downscale = Downscale(16, 16, "bicubic")
    cover = photo(48, 48)
    found = hidden(cover, spotted(downscale(cover), 20), downscale)
    moved = found.image.array().astype(float) - cover.array()
    down, across = downscale.matrices(48, 48)
    rng = np.random.default_rng(1)
    for _ in range(20):
        noise = rng.normal(0, 5, (48, 48))
        seen = down @ noise @ across.T
        unseen = noise - np.linalg.pinv(down) @ seen @ np.linalg.pinv(across).T
        other = moved + unseen[..., None]
        assert np.linalg.norm(other) > np.linalg.norm(moved)


def test_a_radius_is_kept_and_the_residual_says_what_it_cost() -> None:
    downscale = Downscale(16, 16, "bicubic")
    cover = photo(64, 64)
    found = hidden(cover, spotted(downscale(cover), 60), downscale, most=16)
    assert found.linf <= 16
    assert found.residual_max >= 60 - 16 - 3


def test_a_payload_that_is_the_cover_s_own_downscale_moves_nothing() -> None:
    cover, downscale = photo(60, 90), Downscale(20, 15, "lanczos")
    found = hidden(cover, downscale(cover), downscale)
    assert found.image == cover
    assert (found.residual_max, found.linf, found.changed, found.rounds) == (0, 0, 0, 0)


@settings(max_examples=15, deadline=None)
@given(
    filter=st.sampled_from(list(FILTERS)),
    height=st.integers(8, 12),
    width=st.integers(8, 12),
    times=st.tuples(st.floats(2, 4), st.floats(2, 4)),
    seed=st.integers(0, 5),
)
def test_any_payload_of_few_levels_is_reached(
    filter: Filter, height: int, width: int, times: tuple[float, float], seed: int
) -> None:
    cover = photo(int(height * times[0]), int(width * times[1]), seed)
    downscale = Downscale(width, height, filter)
    rng = np.random.default_rng(seed)
    payload = downscale(cover).array().astype(int) + rng.integers(-4, 5, (height, width, 3))
    found = hidden(cover, Image.from_array(payload.clip(0, 255).astype(np.uint8)), downscale)
    assert found.residual_max <= 2
    shrunk = downscale(found.image).array()
    assert int(np.abs(shrunk.astype(int) - payload.clip(0, 255)).max()) == found.residual_max


def test_the_linear_model_is_pillows_up_to_its_rounding() -> None:
    cover = photo(57, 83)
    for name, number in FILTERS.items():
        seen = matrix(57, 19, number) @ cover.array()[..., 0].astype(float) @ matrix(83, 31, number).T
        real = Downscale(31, 19, name)(cover).array()[..., 0]
        assert np.abs(seen.clip(0, 255) - real).max() <= 1.3, name


def test_crop_shrinks_the_shorter_side_and_cuts_out_the_middle() -> None:
    cover = photo(60, 100)
    seen = Downscale(20, 20, "bicubic", "crop")(cover)
    whole = np.asarray(Pillow.fromarray(cover.array()).resize((33, 20), FILTERS["bicubic"]))
    assert (seen.array() == whole[:, 6:26]).all()
    found = hidden(cover, spotted(seen, 30), Downscale(20, 20, "bicubic", "crop"))
    assert found.residual_max <= 1


def test_what_cannot_be_done_says_why() -> None:
    cover = photo(40, 40)
    with pytest.raises(ValueError, match="at least 80 x 80 px, found 40 x 40"):
        hidden(cover, photo(80, 80), Downscale(80, 80))
    with pytest.raises(ValueError, match="expected 10 x 10 px, found 20 x 20"):
        hidden(cover, photo(20, 20), Downscale(10, 10))
    huge = Image("0" * 64, 2**13, 2**12, lambda: np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(ValueError, match=f"at most {MOST} pixels"):
        hidden(huge, photo(10, 10), Downscale(10, 10))
