"""The patches of Bailey 2023: where they stand, what they cover, and how far they may go."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from attacks.bailey_parts import made, picture
from proofglass.engine import LInf, Patch, Placed, Within
from proofglass.registry import build as plug
from proofglass.types import Artefact, Chat, Image, Sample
from proofglass.victims.llava import Llava
from tiny_models import SIDE, build


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


@pytest.mark.parametrize(
    ("side", "patch", "places", "share"), [(224, 50, 30625, 0.0498), (224, 60, 27225, 0.0717), (224, 160, 4225, 0.5102)]
)
def test_a_patch_has_so_many_places_and_covers_so_much(side, patch, places, share):  # G21
    assert (side - patch + 1) ** 2 == places
    assert float(Patch(patch, patch).mask(side, side).float().mean()) == pytest.approx(share, abs=5e-5)


def moving(side, patch, **fields):
    """The attack's way from a patch to what the victim sees."""
    attack = plug("attacks", "bailey2023", constraint="moving-patch", **fields)
    images = (
        Image.from_array(np.full((patch, patch, 3), 255, np.uint8)),
        Image.from_array(np.zeros((side, side, 3), np.uint8)),
    )
    return attack, Artefact(images=images, meta={"contexts": []})


def test_evaluation_draws_every_place_equally_often_from_the_samples_id():  # G21: H = 8, h = 3 has 6 places a side
    attack, artefact = moving(8, 3)
    corners, covered = Counter(), np.zeros(8)
    for k in range(3000):
        seen = attack.apply(artefact, Sample(f"s{k}", "toy", Chat.user("hi"))).images[0].array()[..., 0] > 0
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        assert len(rows) == len(columns) == 3
        assert seen.sum() == 9
        corners[int(rows[0]), int(columns[0])] += 1
        covered[rows] += 1
    assert len(corners) == 36
    assert max(corners.values()) - min(corners.values()) < 10 * np.sqrt(3000 / 36)
    # Row r is covered by 1, 2, 3, 3, 3, 3, 2, 1 of the 6 places; five standard deviations of 3000 draws are 0.046.
    assert covered / 3000 == pytest.approx(np.array([1, 2, 3, 3, 3, 3, 2, 1]) / 6, abs=0.05)


def test_a_large_patch_always_covers_the_centre():  # G21: 160 of 224
    attack, artefact = moving(224, 160)
    for k in range(40):
        shown = attack.apply(artefact, Sample(f"s{k}", "toy", Chat.user("hi"))).images[0].array()
        assert shown[112, 112, 0] == 255


def test_training_draws_a_new_place_at_every_step_uniformly():
    placed = Placed(None, torch.zeros(1, 3, 8, 8), [5])
    counts = Counter(placed.place(5, step, 3, 3) for step in range(3600))
    assert len(counts) == 36
    assert max(abs(n - 100) for n in counts.values()) < 50  # five standard deviations of 9.9


@pytest.mark.parametrize(("side", "corner"), [(500, (75, 225)), (224, (19, 87))])
def test_a_stationary_patch_stands_at_its_stated_corner(side, corner):  # G21: centre at (.2, .5), 50 x 50
    attack = plug("attacks", "bailey2023", constraint="patch", side=50, place=(0.2, 0.5))
    carrier = torch.full((1, 3, side, side), 0.25)
    x0, constraint = attack._start(carrier, 7)
    assert isinstance(constraint, Within)
    assert constraint.region.corner(side, side) == corner
    changed = (x0 != carrier).any(1)[0]
    top, left = corner
    assert changed[top : top + 50, left : left + 50].float().mean() > 0.99
    assert changed.sum() == changed[top : top + 50, left : left + 50].sum()


def test_the_papers_patches_are_60_and_160_of_224_pixels():
    carrier = torch.full((1, 3, 224, 224), 0.25)
    _, fixed = plug("attacks", "bailey2023", constraint="patch")._start(carrier, 0)
    assert fixed.region.mask(224, 224).sum() == 60**2
    patch, inner = plug("attacks", "bailey2023", constraint="moving-patch")._start(carrier, 0)
    assert patch.shape == (1, 3, 160, 160)
    assert inner == LInf(1.0, "clean")
    assert 0.49 < float(patch.mean()) < 0.51  # uniform noise, which "free" means: no bound but the box
    assert float(inner.project(torch.full_like(patch, 2.0), patch).min()) == 1


def test_outside_a_stationary_patch_the_picture_is_the_carrier_bit_for_bit(victim):
    _, artefact = made(victim, constraint="patch", side=9, place=(0.2, 0.5))
    inside = Patch(9, 9, 0.2, 0.5).mask(SIDE, SIDE).numpy()
    assert (artefact.images[0].array()[~inside] == artefact.clean.array()[~inside]).all()
    assert (artefact.images[0].array()[inside] != artefact.clean.array()[inside]).mean() > 0.9
    assert artefact.trace["zero_gradient_share"] < 0.05  # of the values that may move


def test_a_moving_patch_is_saved_as_patch_and_carrier_and_pasted_on_it(victim):
    attack, artefact = made(victim, constraint="moving-patch", side=9)
    patch, carrier = artefact.images
    assert (patch.width, patch.height, carrier) == (9, 9, artefact.clean)
    sample = Sample("judged", "toy", Chat.user(picture(50), "something else"))
    shown = attack.apply(artefact, sample).images[0].array()
    rows, columns = (np.flatnonzero((shown != carrier.array()).any((2, axis))) for axis in (1, 0))
    top, left = rows[0], columns[0]
    assert (shown[top : top + 9, left : left + 9] == patch.array()).all()
    shown = np.delete(shown, np.arange(top, top + 9), 0)
    assert (shown == np.delete(carrier.array(), np.arange(top, top + 9), 0)).all()


def test_a_patch_epsilon_bounds_the_patch_around_its_noise(victim):
    _, free = made(
        victim, constraint="moving-patch", side=9, optimiser="sign", step_size=8 / 255, steps=6, select="last"
    )
    _, bound = made(
        victim,
        constraint="moving-patch",
        side=9,
        optimiser="sign",
        step_size=8 / 255,
        steps=6,
        select="last",
        patch_epsilon=8 / 255,
    )
    start, _ = plug("attacks", "bailey2023", constraint="moving-patch", side=9)._start(torch.zeros(1, 3, SIDE, SIDE), 3)
    noise = (start[0] * 255).permute(1, 2, 0).numpy()
    assert np.abs(free.images[0].array() - noise).max() > 9
    assert np.abs(bound.images[0].array() - noise).max() <= 8.5


def test_distances_in_the_trace_are_from_the_clean_picture_and_those_of_a_patch_from_its_noise(victim):
    fields = {"optimiser": "sign", "step_size": 3 / 255, "steps": 4, "select": "last", "patch_epsilon": 0.03, "side": 9}
    _, fixed = made(victim, constraint="patch", **fields)
    moved = fixed.images[0].array().astype(float) - fixed.clean.array()
    assert fixed.trace["linf_levels"] == np.abs(moved).max() > 7
    assert fixed.trace["l2"] == pytest.approx(np.linalg.norm(moved) / 255)
    _, moving = made(victim, constraint="moving-patch", **fields)
    assert fixed.trace["patch_linf_levels"] == moving.trace["patch_linf_levels"] == 7  # .03 is 7.65 levels
    assert "linf_levels" not in moving.trace  # where it lies is drawn for every sample
    _, whole = made(victim, epsilon=0.03, **{name: fields[name] for name in ("optimiser", "step_size", "steps")})
    assert whole.trace["linf_levels"] <= 7
    assert "patch_linf_levels" not in whole.trace


def test_a_patch_that_does_not_fit_is_refused(victim):
    with pytest.raises(ValueError, match="patch"):
        made(victim, constraint="moving-patch", side=SIDE + 1)
