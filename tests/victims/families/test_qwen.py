"""Qwen-VL beyond the shared suite."""

from __future__ import annotations

import pytest
import torch
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from proofglass.types import Ask, Chat, Image, Settings
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel
from proofglass.victims.hf.twins import twin_of
from proofglass.victims.hf.twins.base import official

from . import tiny_qwen


@pytest.fixture(scope="module", params=tiny_qwen.CASES, ids=lambda case: case.name)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("qwen") / "model"
    request.param.build(folder)
    return HFModel(folder, "cpu")


def grey(height: int, width: int) -> Image:
    return Image.from_array(torch.full((height, width, 3), 90, dtype=torch.uint8).numpy())


def test_places_are_those_of_transformers_with_two_pictures_and_padding(model: HFModel) -> None:
    chat = Chat.user(grey(24, 48), "and", grey(40, 16), "which is larger?")
    ids = list(model.encode_chat(chat).ids)
    pictures, _ = model._told([model.encode_chat(chat)])
    assert [picture.grid for picture in pictures] == [(3, 6), (5, 2)]
    padded = torch.tensor([[model.pad] * 3 + ids])
    real = torch.tensor([[0] * 3 + [1] * len(ids)])
    positions = (real.cumsum(1) - 1).clamp(min=0)
    found = model.family.places(padded, pictures, [(0, 1)], positions)
    expected, _ = model.model.model.get_rope_index(
        torch.tensor([ids]), (torch.tensor([ids]) == model.image_token).int(), torch.tensor([[1, 6, 12], [1, 10, 4]])
    )
    assert torch.equal(found[:, :, 3:], expected)
    # Behind a cache that holds both pictures, all that is left stands where it stood.
    tail = model.family.places(padded[:, -4:], pictures, [(0, 1)], positions[:, -4:])
    assert torch.equal(tail, expected[:, :, -4:])


def test_two_pictures_have_the_loss_of_plain_transformers(model: HFModel) -> None:
    one, other = checks.odd_pictures(2, seed=7)
    assert checks.loss_difference(model, [(Chat.user(one, "beside", other, "which?"), "the left")]) <= 1e-5


def test_a_batch_of_pictures_has_the_gradients_of_single_ones(model: HFModel) -> None:
    images = [Image.from_array(image.array()[:24, :40]) for image in checks.odd_pictures(2, sides=(60, 90))]
    pairs = [[(Chat.user(image, "what is it?"), "a cat"), (Chat.user(image, "why"), "so")] for image in images]
    x = torch.cat([model.pixels(image) for image in images])
    together = model.loss_and_grad(x, model.prepare(pairs)).pixels
    for k, row in enumerate(pairs):
        alone = model.loss_and_grad(x[k : k + 1], model.prepare([row])).pixels[0]
        assert (together[k] - alone).abs().max() <= 1e-5 * alone.abs().max()


def test_attacks_work_on_the_size_that_the_processor_leaves_alone(model: HFModel) -> None:
    x = model.pixels(checks.odd_pictures(1, sides=(200, 300))[0])
    assert x.shape[-2] % 8 == x.shape[-1] % 8 == 0
    assert x.shape[-2] * x.shape[-1] <= tiny_qwen.IMAGES["max_pixels"]
    assert model.twin is not None
    assert model.twin.size(*x.shape[-2:]) == tuple(x.shape[-2:])


def test_a_picture_too_thin_to_be_resized_twice_keeps_its_own_size() -> None:
    # 11 x 2200 becomes 8 x 2200, 275 times as long as wide: the processor would refuse that as a picture.
    processor = Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, min_pixels=64, max_pixels=10**6)
    twin, image = twin_of(processor), checks.odd_pictures(1, sides=(11, 12))[0]
    levels = torch.from_numpy(image.array().copy()).permute(2, 0, 1)[None].float().repeat(1, 1, 1, 200) / 255
    assert twin.size(11, 2200) == (11, 2200)
    found = twin.values(twin.pixels(levels))
    expected = official(processor, [(255 * levels[0]).byte().permute(1, 2, 0).numpy()])
    assert found["image_grid_thw"].tolist() == expected["image_grid_thw"].tolist() == [[1, 2, 550]]
    torch.testing.assert_close(found["pixel_values"], expected["pixel_values"])


def test_a_picture_that_the_processor_refuses_costs_itself(model: HFModel) -> None:
    asks = [Ask(Chat.user(image, "what is it?"), Settings(max_new_tokens=2)) for image in (grey(2, 401), grey(40, 40))]
    refused, answered = model.reply(asks, 2)
    assert refused.outcome == "error"
    assert "aspect ratio must be smaller than 200" in (refused.reason or "")
    assert answered.outcome == "ok"


def test_without_a_resize_the_sides_must_fit() -> None:
    twin = twin_of(Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, do_resize=False))
    assert twin.size(16, 24) == (16, 24)
    with pytest.raises(ValueError, match="multiples of 8, found 16 x 25"):
        twin.size(16, 25)
