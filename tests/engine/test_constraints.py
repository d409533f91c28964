"""Where an attacked picture may lie: golden values, and what every set promises on any input."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.engine import L2, Border, Box, LInf, Patch, Rows, Within
from toy_objectives import CONSTRAINTS, inside, pictures

SETS = st.sampled_from(sorted(CONSTRAINTS))
SEEDS = st.integers(0, 10**6)


def row(*values):
    x = torch.zeros(1, 3, 1, len(values))
    x[0, 0, 0] = torch.tensor(values)
    return x


def test_linf_clips_to_the_ball_and_the_box():  # G3
    found = LInf(16 / 255).project(row(-0.1, 0.6, 1.2, 0.45), row(0.02, 0.5, 0.97, 0.4))
    torch.testing.assert_close(found[0, 0, 0], torch.tensor([0.0, 0.5627451, 1.0, 0.45]), atol=1e-6, rtol=0)


def test_l2_scales_the_difference_onto_the_ball():  # G3: |delta| = 1.3 and epsilon .65 halve it
    # The golden difference (.3, -.4, 0, 1.2) leaves the box as a whole, its half does not.
    x0, delta = row(0.2, 0.9, 0.5, 0.1), row(0.3, -0.4, 0.0, 1.2)
    found = L2(0.65).project(x0 + delta, x0) - x0
    torch.testing.assert_close(found[0, 0, 0], torch.tensor([0.15, -0.2, 0.0, 0.6]), atol=1e-6, rtol=0)


def test_l2_is_taken_per_picture_and_never_over_the_batch():
    x0 = torch.full((2, 3, 2, 2), 0.5)
    x = x0.clone()
    x[0] += 0.4
    x[1, 0, 0, 0] += 0.1
    found = L2(0.2).project(x, x0)
    assert float((found[0] - x0[0]).norm()) == pytest.approx(0.2, abs=1e-6)
    assert torch.equal(found[1], x[1])


def test_scaling_before_clipping_stays_in_an_l2_ball_that_leaves_the_box():
    x0, x = row(0.95, 0.5), row(2.95, 0.5)
    found = L2(0.3).project(x, x0)
    assert found[0, 0, 0].tolist() == pytest.approx([1.0, 0.5])


@settings(max_examples=60, deadline=None)
@given(SETS, SEEDS)
def test_a_projection_lies_in_the_set_and_leaves_its_members_alone(name, seed):
    c, x0 = CONSTRAINTS[name](), pictures(seed, 2)
    found = c.project(pictures(seed + 1, 2, -1.0, 2.0), x0)
    assert inside(found, x0, c)
    torch.testing.assert_close(c.project(found, x0), found, atol=1e-6, rtol=0)
    assert torch.equal(c.project(x0, x0), x0)


@settings(max_examples=60, deadline=None)
@given(SETS, SEEDS)
def test_every_start_lies_in_the_set_and_is_a_new_picture(name, seed):
    c, x0 = CONSTRAINTS[name](), pictures(seed, 2)
    kept = x0.clone()
    begun = c.begin(x0, pictures(seed + 1, 2))
    assert inside(begun, x0, c)
    begun += 1
    assert torch.equal(x0, kept)


@settings(max_examples=40, deadline=None)
@given(SETS, SEEDS)
def test_a_projection_is_the_nearest_point_wherever_ball_and_box_do_not_meet(name, seed):
    # x0 in the middle: the balls lie inside the box, so each set is a ball, a box or a face of one
    c, x0 = CONSTRAINTS[name](), pictures(seed, 1, 0.4, 0.6)
    x = pictures(seed + 1, 1, 0.0, 1.0)
    nearest = (c.project(x, x0) - x).norm()
    for k in range(20):
        member = c.project(pictures(seed + 2 + k, 1, 0.0, 1.0), x0)
        member = x0 + (member - x0) * (k / 19)  # the sets are convex
        assert (member - x).norm() >= nearest - 1e-5


@settings(max_examples=40, deadline=None)
@given(SETS, SEEDS)
def test_values_that_are_not_free_never_move_and_those_that_are_do(name, seed):
    c, x0 = CONSTRAINTS[name](), pictures(seed, 1, 0.3, 0.7)
    free = c.free(x0)
    moved = c.project(x0 + 0.05, x0) != x0
    expected = torch.ones_like(moved) if free is None else free.expand_as(x0).bool()
    assert torch.equal(moved, expected)


def test_a_start_on_a_face_touches_it_and_one_in_the_ball_does_not():
    x0, noise = torch.full((3, 3, 6, 6), 0.5), pictures(1, 3)
    face = (LInf(0.1, "face").begin(x0, noise) - x0).abs().flatten(1).amax(1)
    torch.testing.assert_close(face, torch.full((3,), 0.1), atol=1e-6, rtol=0)
    ball = (LInf(0.1).begin(x0, noise) - x0).abs().flatten(1).amax(1)
    assert (ball < 0.1).all()


def test_uniform_noise_fills_the_linf_ball_evenly():
    x0 = torch.full((1, 3, 100, 100), 0.5)
    noise = torch.rand(x0.shape, generator=torch.Generator().manual_seed(0))
    moved = LInf(0.1).begin(x0, noise) - x0
    # uniform on [-.1, .1]: mean 0 +- .1/sqrt(3)/sqrt(30000) = .00033, variance .01/3
    assert abs(float(moved.mean())) < 5 * 0.00034
    assert float(moved.var()) == pytest.approx(0.01 / 3, rel=0.03)


def test_an_l2_start_is_a_gaussian_direction_of_length_epsilon():
    x0 = torch.full((1, 3, 100, 100), 0.5)
    noise = torch.rand(x0.shape, generator=torch.Generator().manual_seed(0))
    moved = L2(2.0).begin(x0, noise) - x0
    assert float(moved.norm()) == pytest.approx(2.0, rel=1e-4)
    scaled = moved / moved.std()
    # kurtosis of a normal is 3 (of uniform noise 1.8); its standard error at 30,000 draws is sqrt(24 / 30000) = .028
    assert float((scaled**4).mean()) == pytest.approx(3.0, abs=0.15)


def test_a_box_starts_from_noise_or_from_the_picture():
    x0, noise = pictures(1), pictures(2)
    assert torch.equal(Box().begin(x0, noise), noise)
    assert torch.equal(Box("clean").begin(x0, noise), x0)


# ------------------------------------------------------------------------------------------------ regions


@pytest.mark.parametrize(
    ("patch", "corner"),
    [
        (Patch(4, 6), (3, 2)),  # centre of 10 x 10: (5 - 2, 5 - 3)
        (Patch(3, 3, 0.0, 0.0), (0, 0)),  # moved into the picture
        (Patch(3, 3, 1.0, 1.0), (7, 7)),
        (Patch(10, 10, 0.2, 0.9), (0, 0)),
        (Patch(5, 4, 0.39, 0.61), (1, 4)),  # int(3.9) - 2, int(6.1) - 2
    ],
)
def test_a_patch_stands_around_its_centre_and_inside_the_picture(patch, corner):
    assert patch.corner(10, 10) == corner
    mask = patch.mask(10, 10)
    assert int(mask.sum()) == patch.height * patch.width
    assert mask[corner[0] : corner[0] + patch.height, corner[1] : corner[1] + patch.width].all()


@pytest.mark.parametrize("patch", [Patch(11, 3), Patch(3, 11), Patch(0, 3), Patch(3, -1)])
def test_a_patch_that_does_not_fit_is_refused(patch):
    with pytest.raises(ValueError, match="patch: expected at most the picture's 10 x 10"):
        patch.corner(10, 10)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))
def test_border_and_rows_hold_the_pixels_that_their_names_say(height, width, size):
    border, rows = Border(size).mask(height, width), Rows(size).mask(height, width)
    inner = max(height - 2 * size, 0) * max(width - 2 * size, 0)
    assert int(border.sum()) == height * width - inner
    assert int(rows.sum()) == min(size, height) * width
    assert rows[: min(size, height)].all()


def test_outside_the_region_every_pixel_stays_bit_for_bit():
    x0 = pictures(1)
    c = Within(Box(), Patch(2, 2))
    for x in (c.begin(x0, pictures(2)), c.project(pictures(3), x0)):
        changed = (x != x0).any(1)[0]
        assert changed[2:4, 2:4].all()
        assert int(changed.sum()) == 4


def test_an_l2_ball_inside_a_region_spends_nothing_outside_it():
    # What lies outside is put back before the norm is taken: the whole of epsilon is left for the region.
    x0 = torch.full((1, 3, 6, 6), 0.5)
    found = Within(L2(0.3), Rows(1)).project(x0 + 0.4, x0)
    assert float((found - x0).norm()) == pytest.approx(0.3, abs=1e-6)


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LInf(16), "write 16/255"),
        (lambda: LInf(0), "epsilon"),
        (lambda: LInf(float("nan")), "epsilon"),
        (lambda: L2(0), "epsilon"),
        (lambda: L2(float("nan")), "epsilon"),
        (lambda: Border(0), "width: expected at least 1"),
        (lambda: Rows(0), "rows: expected at least 1"),
        (lambda: LInf(0.1, "middle"), "start: expected"),
        (lambda: L2(0.1, "face"), "start: expected"),
        (lambda: Box("face"), "start: expected"),
    ],
)
def test_bad_parameters_name_the_field(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_another_shape_is_refused(name):
    with pytest.raises(ValueError, match="x: expected the shape of x0"):
        CONSTRAINTS[name]().project(torch.zeros(1, 3, 5, 6), pictures(1))
