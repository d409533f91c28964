"""InternVL beyond the shared suite."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from proofglass.types import Chat, Image
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel

from . import tiny_internvl


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("internvl") / "model"
    tiny_internvl.build(made)
    return HFModel(made, "cpu")


def picture(height: int, width: int, seed: int = 0) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("size", "tiles"), [((28, 28), 1), ((39, 39), 1), ((80, 80), 4), ((28, 84), 3), ((1, 300), 6), ((300, 1), 6)]
)
def test_tiles_are_those_of_the_official_processor(model: HFModel, size: tuple[int, int], tiles: int) -> None:
    image = picture(*size)
    chat = Chat.user(image, "what is it?")
    (slot,) = model.encode_chat(chat).slots
    views = tiles + (tiles > 1)  # and the whole
    assert slot.last - slot.first == 4 * views + 2  # between two marks
    assert checks.ids_agree(model, [chat])
    assert checks.processor_difference(model, [image]) <= 1 / 255
    assert checks.loss_difference(model, [(chat, "a cat")]) <= 1e-5


def test_pictures_of_one_size_are_seen_together_as_alone(model: HFModel) -> None:
    pixels = [model.pixels(picture(70, 100, seed)) for seed in (1, 2, 3)]
    together = model.family.encode(model.values(torch.cat(pixels)))
    alone = [model.family.encode(model.values(each)) for each in pixels]
    torch.testing.assert_close(together, torch.cat(alone))


def test_patches_are_those_that_the_projector_reads(model: HFModel) -> None:
    pixels = model.pixels(picture(28, 84))
    patches = model.features(pixels, "patches")
    assert patches.shape == (1, 4 * 16, 32)
    inner = model.model.model
    folded = inner.pixel_shuffle(patches.reshape(4, 4, 4, 32), scale_factor=0.5).reshape(1, 16, -1)
    torch.testing.assert_close(inner.multi_modal_projector(folded), model.family.encode(model.values(pixels)))


@pytest.mark.parametrize("layer", ["pooled", "patches"])
def test_features_have_a_gradient_to_every_part_of_the_picture(model: HFModel, layer: str) -> None:
    pixels = model.pixels(picture(70, 100)).requires_grad_()
    features = model.features(pixels, layer)  # type: ignore[arg-type]
    (grad,) = torch.autograd.grad(features.square().sum(), pixels)
    assert (grad != 0).all()
