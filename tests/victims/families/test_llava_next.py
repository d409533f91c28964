"""LLaVA-NeXT and its like beyond the shared suite."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from proofglass.types import Chat, Image
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel

from . import tiny_llava_next


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("next") / "model"
    tiny_llava_next.build(made)
    return HFModel(made, "cpu")


def picture(height: int, width: int, seed: int = 0) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1), (3, 400), (28, 84), (57, 56), (1000, 999)])
def test_extreme_shapes_are_seen_as_the_official_processor_shows_them(model: HFModel, size: tuple[int, int]) -> None:
    image = picture(*size)
    chat = Chat.user(image, "what is it?")
    assert checks.processor_difference(model, [image]) <= 1 / 255
    assert checks.ids_agree(model, [chat])
    assert checks.loss_difference(model, [(chat, "a cat")]) <= 1e-5


def test_pictures_of_one_size_are_seen_together_as_alone(model: HFModel) -> None:
    pixels = [model.pixels(picture(70, 100, seed)) for seed in (1, 2, 3)]
    together = model.family.encode(model.values(torch.cat(pixels)))
    alone = [model.family.encode(model.values(each)) for each in pixels]
    torch.testing.assert_close(together, torch.cat(alone))


def test_patches_are_those_that_the_projector_reads(model: HFModel) -> None:
    pixels = model.pixels(picture(70, 100))
    patches = model.features(pixels, "patches")
    tiles = 1 + 2 * 2  # a canvas of 56 x 56 fits best
    assert patches.shape == (1, tiles * 16, 32)
    read = model.model.model.multi_modal_projector(patches)
    torch.testing.assert_close(read[:, :16], model.family.encode(model.values(pixels))[:, :16])


@pytest.mark.parametrize("layer", ["pooled", "patches"])
def test_features_have_a_gradient_to_every_part_of_the_picture(model: HFModel, layer: str) -> None:
    pixels = model.pixels(picture(70, 100)).requires_grad_()
    features = model.features(pixels, layer)  # type: ignore[arg-type]
    (grad,) = torch.autograd.grad(features.square().sum(), pixels)
    assert (grad != 0).all()
