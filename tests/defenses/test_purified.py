"""Purified pictures: what the victim is shown, what an attacker sees who looks through, and what that is worth."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from skimage.filters import gaussian

from defenses.opened_parts import PAIRS, some_pixels
from proofglass.attacks.image.pgd import PGD
from proofglass.defenses.inference.bit_depth import BitDepth
from proofglass.defenses.inference.blur import Blur
from proofglass.defenses.inference.jailguard import JailGuard
from proofglass.defenses.inference.jpeg import JPEG
from proofglass.defenses.inference.random_crop import RandomCrop
from proofglass.defenses.inference.random_resize_pad import RandomResizePad
from proofglass.defenses.inference.resize import FILTERS, Resize
from proofglass.defenses.inference.smooth_vlm import SmoothVLM
from proofglass.engine.seeds import drawing, stream
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.interfaces import Defense, WhiteBoxVictim, opened_through
from proofglass.registry import build
from proofglass.testing.material import Scripted, unreadable
from proofglass.types import Ask, Chat, Image, Sample, Settings
from proofglass.victims.own import OwnModule
from toy_module import Toy

EVERY = (JPEG(), BitDepth(), Resize(), Blur(), RandomCrop(), RandomResizePad())
SMOOTH = (Resize(0.4), Resize(0.7, "bicubic"), Blur(1.3), RandomCrop(0.7, 3), RandomResizePad(0.6, 0.5, 3))
PASSED = (JPEG(30), BitDepth(2))  # gradients passed straight through
each = pytest.mark.parametrize("defense", EVERY, ids=lambda defense: defense.name)


def noise(height: int, width: int, seed: int = 0) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def scene(side: int = 32) -> Image:
    """Smooth colours with an edge."""
    y, x = np.mgrid[:side, :side] / side
    return Image.from_array((255 * np.stack([x, y, (x > y) * 0.8], 2)).round().astype(np.uint8))


def shown(defense: Defense, image: Image, draw: int = 0) -> Image:
    """The picture that reaches the victim; the text and everything else must be what was asked."""
    ask = Ask(Chat.user("look", image, "what is it ?").with_system("be brief"), Settings(7, draw=draw))
    flow = defense.flow(ask)
    asked = next(flow)
    assert isinstance(asked, Ask)
    assert asked.settings == ask.settings
    (found,) = asked.chat.images
    assert asked.chat.with_image(image) == ask.chat
    return found


def levels(image: Image) -> np.ndarray:
    return image.array().astype(int)


# ---------------------------------------------------------------------------------------------- what a reply is shown


@pytest.mark.parametrize("quality", [1, 30, 75, 100])
@pytest.mark.parametrize("image", [noise(13, 9), scene(), noise(1, 1)], ids=["noise", "scene", "one pixel"])
def test_jpeg_is_the_file_that_pillow_writes(quality: int, image: Image) -> None:
    file = io.BytesIO()
    Pillow.fromarray(image.array()).save(file, "JPEG", quality=quality)
    assert np.array_equal(shown(JPEG(quality), image).array(), np.asarray(Pillow.open(file)))


@pytest.mark.parametrize("bits", range(1, 8))
def test_few_levels_are_left_of_each_colour(bits: int) -> None:
    ramp = Image.from_array(np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3))
    found = shown(BitDepth(bits), ramp).array()[0, :, 0]
    assert len(set(found)) == 2**bits
    # 3 bits: level 100 is 100 / 255 * 7 = 2.745 of 7 steps, so 3 / 7 * 255 = 109.3.
    if bits == 3:
        assert found[100] == 109
    assert (np.abs(found.astype(int) - np.arange(256)) <= 255 / (2**bits - 1) / 2 + 0.5).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.05, 0.99), st.sampled_from(sorted(FILTERS)))
def test_resizing_is_pillows_to_two_grey_levels(height: int, width: int, factor: float, name: str) -> None:
    image = noise(height, width, height)
    small = max(1, round(factor * width)), max(1, round(factor * height))
    expected = Pillow.fromarray(image.array()).resize(small, FILTERS[name]).resize((width, height), FILTERS[name])
    found = shown(Resize(factor, name), image)
    assert np.abs(levels(found) - np.asarray(expected).astype(int)).max() <= 2


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5, 32])
def test_blur_is_the_gaussian_of_scikit_image(sigma: float) -> None:
    image = noise(21, 17)
    expected = gaussian(image.array() / 255, sigma, mode="nearest", truncate=3, channel_axis=2)
    assert np.abs(levels(shown(Blur(sigma), image)) - 255 * expected).max() <= 0.51


def test_a_crop_of_a_ramp_is_a_part_of_the_ramp() -> None:
    # 100 columns, 0 to 99: half of them, enlarged, rise by about 0.5 a column and span 49 levels.
    ramp = Image.from_array(np.repeat(np.arange(100, dtype=np.uint8), 3).reshape(1, 100, 3).repeat(100, 0))
    starts = set()
    for draw in range(12):
        row = levels(shown(RandomCrop(0.5), ramp, draw))[50, :, 0]
        assert row[-1] - row[0] == 49
        assert (np.diff(row) >= 0).all()
        starts.add(int(row[0]))
    assert len(starts) > 6
    assert min(starts) < 15
    assert max(starts) > 35


def test_what_is_left_of_a_padded_picture_is_black_around_it() -> None:
    white = Image.from_array(np.full((50, 40, 3), 255, np.uint8))
    sides, corners = set(), set()
    for draw in range(20):
        found = levels(shown(RandomResizePad(0.5), white, draw))[..., 0]
        rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
        assert (found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 255).all()
        assert len(rows) * len(columns) == (found == 255).sum()
        assert 25 <= len(rows) <= 50
        assert 20 <= len(columns) <= 40
        sides.add(len(rows))
        corners.add((rows[0], columns[0]))
    assert len(sides) > 8
    assert len(corners) > 10
    assert levels(shown(RandomResizePad(0.5, fill=1.0), white)).min() == 255


@pytest.mark.parametrize("defense", [RandomCrop(), RandomResizePad()], ids=lambda defense: defense.name)
def test_the_same_ask_is_shown_alike_and_another_draw_otherwise(defense: Defense) -> None:
    image = noise(40, 40)
    assert shown(defense, image, 1) == shown(defense, image, 1)
    assert len({shown(defense, image, draw).sha256 for draw in range(6)}) > 3


@each
def test_a_dialogue_without_pictures_passes_as_it_is(defense: Defense) -> None:
    ask = Ask(Chat.user("what is it ?"))
    assert next(defense.flow(ask)) == ask


@each
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 2)])
def test_the_smallest_pictures_keep_their_size(defense: Defense, size: tuple[int, int]) -> None:
    found = shown(defense, noise(*size))
    assert (found.height, found.width) == size


@each
def test_a_picture_that_cannot_be_read_costs_its_own_sample(defense: Defense) -> None:
    asks = [Ask(Chat.user(each, "what ?")) for each in (unreadable(), noise(8, 8))]
    bad, good = defense(Scripted()).reply(asks)
    assert (bad.outcome, good.outcome) == ("error", "ok")
    assert "gone.png" in bad.reason


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: JPEG(0), "quality"),
        (lambda: JPEG(101), "quality"),
        (lambda: BitDepth(0), "bits"),
        (lambda: BitDepth(9), "bits"),
        (lambda: Resize(0), "factor"),
        (lambda: Resize(float("nan")), "factor"),
        (lambda: Resize(0.5, "nearest"), "resample"),  # type: ignore[arg-type]
        (lambda: Blur(-1), "sigma"),
        (lambda: Blur(1e9), "sigma"),
        (lambda: RandomCrop(1.1), "share"),
        (lambda: RandomCrop(0.9, 0), "draws"),
        (lambda: RandomResizePad(0), "smallest"),
        (lambda: RandomResizePad(0.5, 2), "fill"),
    ],
)
def test_a_field_out_of_its_range_is_named(make, field: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        make()


# ------------------------------------------------------------------------------------------- who looks through


@each
def test_the_lens_shows_what_a_reply_is_shown_but_for_the_last_rounding(defense: Defense) -> None:
    image = noise(24, 20)
    x = torch.from_numpy(image.array().transpose(2, 0, 1)[None].astype(np.float32) / 255).requires_grad_()
    lens = defense.lens  # type: ignore[attr-defined]
    draw = (defense.key, 0) if lens.draws else ()
    seen = lens.see(x, [stream("shown", *draw, image.sha256)])[0].permute(1, 2, 0).detach().numpy()
    assert np.abs(255 * seen - levels(shown(defense, image))).max() <= 0.501


@pytest.mark.parametrize("defense", SMOOTH, ids=repr)
def test_gradients_equal_central_differences(defense: Defense) -> None:
    toy = OwnModule(Toy().double())
    view, x = defense.opened(toy), some_pixels().double()
    assert view is not None
    prepared, way = view.prepare(PAIRS), torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    with drawing([1, 2], 3):
        grad = view.loss_and_grad(x, prepared).pixels
        ahead, behind = (view.loss_and_grad(x + h * way, prepared, need_grad=False).loss for h in (1e-6, -1e-6))
    torch.testing.assert_close((grad * way).flatten(1).sum(1), (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("defense", [RandomCrop(0.7, 400), RandomResizePad(0.6, 0.5, 400)], ids=lambda d: d.name)
def test_gradients_of_different_draws_agree_in_expectation(defense: Defense) -> None:
    # Two means of 400 draws each: they differ by less than the spread of single draws lets them, 5 standard errors.
    toy = OwnModule(Toy().double())
    x, way = some_pixels(1).double(), torch.randn(1, 3, 12, 8, generator=torch.Generator().manual_seed(2)).double()
    view = defense.opened(toy)
    assert view is not None
    prepared = view.prepare(PAIRS[:1])
    one = type(defense)(**{**defense.settings(), "draws": 1}).opened(toy)
    assert one is not None
    singles = []
    for step in range(60):
        with drawing([9], step):
            singles.append(float((one.loss_and_grad(x, prepared).pixels * way).sum()))
    with drawing([1], 0):
        slope = float((view.loss_and_grad(x, prepared).pixels * way).sum())
    with drawing([2], 0):
        ahead, behind = (float(view.loss_and_grad(x + h * way, prepared, need_grad=False).loss) for h in (1e-6, -1e-6))
    assert abs(slope - (ahead - behind) / 2e-6) < 5 * float(np.std(singles)) * (2 / 400) ** 0.5


@pytest.mark.parametrize("defense", PASSED, ids=lambda defense: defense.name)
def test_where_there_is_rounding_the_gradient_at_the_result_is_passed_on(defense: Defense) -> None:
    toy = OwnModule(Toy())
    view, x = defense.opened(toy), some_pixels()
    assert view is not None
    seen = defense.lens.see(x, [torch.Generator()] * 2)  # type: ignore[attr-defined]
    assert not torch.equal(seen, x)
    found, expected = (victim.loss_and_grad(at, toy.prepare(PAIRS)) for victim, at in ((view, x), (toy, seen)))
    torch.testing.assert_close(found.pixels, expected.pixels)
    torch.testing.assert_close(found.loss, expected.loss)


@pytest.mark.slow
@each
def test_pgd_through_it_does_no_worse_than_pgd_on_the_bare_model(defense: Defense) -> None:
    # The loss of the target behind the defense, on the same eight pictures in 8 bit.
    model: WhiteBoxVictim = build("victims", "testbed-linear", device="cpu")
    view = opened_through(defense, model)
    assert view is not None
    samples = [row for row in TestbedData(part="restricted-image", n=8) if isinstance(row, Sample)]
    attack, losses = PGD(epsilon=16 / 255, steps=10, step_size=4 / 255, select="last", batch=8), []
    for crafted_on in (model, view):
        made = list(attack.craft(crafted_on, samples, seed=1))
        chats = [attack.apply(artefact, sample) for artefact, sample in zip(made, samples, strict=True)]
        pairs = [[(chat, sample.target)] for chat, sample in zip(chats, samples, strict=True)]
        losses.append(float(view.loss_and_grad(None, view.prepare(pairs, slots=()), need_grad=False).loss.mean()))
    assert losses[1] <= losses[0], losses


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defense", "epsilon", "steps"),
    [
        (SmoothVLM(share=0.2, draws=2), 16 / 255, 10),
        (RandomCrop(draws=2), 16 / 255, 10),
        (RandomResizePad(draws=2), 16 / 255, 10),
        # Turned by up to half a turn, pictures have little in common: more steps and draws, or the noise wins.
        (JailGuard(draws=4), 32 / 255, 20),
    ],
    ids=lambda given: getattr(given, "name", ""),
)
def test_pgd_through_draws_does_no_worse_in_expectation(defense: Defense, epsilon: float, steps: int) -> None:
    # The mean loss of the target over 16 draws that neither attack has seen, on the same six pictures in 8 bit.
    model: WhiteBoxVictim = build("victims", "testbed-linear", device="cpu")
    view = opened_through(defense, model)
    judged = opened_through(replace(defense, draws=16), model)  # type: ignore[type-var]
    assert view is not None
    assert judged is not None
    samples = [row for row in TestbedData(part="restricted-image", n=6) if isinstance(row, Sample)]
    attack, losses = PGD(epsilon=epsilon, steps=steps, step_size=4 / 255, select="last", batch=6), []
    for crafted_on in (model, view):
        made = list(attack.craft(crafted_on, samples, seed=1))
        x = torch.cat([model.pixels(artefact.images[0]) for artefact in made])
        prepared = judged.prepare([[(sample.chat, sample.target)] for sample in samples])
        with drawing(range(100, 106), "judged"):
            losses.append(float(judged.loss_and_grad(x, prepared, need_grad=False).loss.mean()))
    assert losses[1] <= losses[0], losses
