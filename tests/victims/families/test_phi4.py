"""Phi-4-multimodal beyond the shared suite. Its image processor needs torchvision."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from proofglass.errors import MissingExtra
from proofglass.types import Ask, Chat, Image, Settings
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel
from proofglass.victims.hf.twins.base import official
from proofglass.victims.hf.twins.phi4 import DynamicHD

from . import tiny_phi4
from .tiny_phi4 import SIDE


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("phi4") / "model"
    tiny_phi4.build(made)
    return HFModel(made, "cpu")


@pytest.fixture(scope="module")
def switching(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    """Takes its other rotary frequencies soon behind a picture of one tile."""
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("phi4") / "switching"
    tiny_phi4.build(made, switch=576)
    return HFModel(made, "cpu")


def picture(height: int, width: int, seed: int = 0) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
def test_without_torchvision_the_error_says_what_to_install(tmp_path: Path) -> None:
    from proofglass.victims.hf.loading import image_processor

    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "Phi4MultimodalImageProcessor"}')
    with pytest.raises(MissingExtra, match=r"image processor: needs torchvision. Run: pip install torchvision"):
        image_processor(tmp_path)


@pytest.mark.parametrize(
    ("size", "kept", "tokens"),
    [
        ((SIDE, SIDE), (SIDE, SIDE), 273 + 16 * 16 + 16),  # one tile
        ((30, 60), (32, 64), 273 + 8 * 16 + 8),  # enlarged to its width, the lower half left out
        ((100, 70), (128, 89), 273 + 32 * 23 + 32),  # 2 x 2 tiles, the last eighteen columns of patches left out
        ((300, 290), (128, 123), 273 + 32 * 31 + 32),  # more than four tiles: shrunk to 2 x 2
        ((60, 300), (51, 256), 273 + 13 * 64 + 13),  # 1 x 4
    ],
)
def test_a_picture_is_worked_on_at_the_size_that_the_processor_leaves_alone(
    model: HFModel, size: tuple[int, int], kept: tuple[int, int], tokens: int
) -> None:
    assert model.twin is not None
    image = picture(*size)
    chat = Chat.user(image, "what is it?")
    assert model.twin.size(*size) == kept
    (slot,) = model.encode_chat(chat).slots
    assert slot.last - slot.first == tokens
    assert checks.ids_agree(model, [chat])
    assert checks.processor_difference(model, [image]) <= 1e-6
    assert checks.loss_difference(model, [(chat, "a cat")]) <= 1e-5


@pytest.mark.parametrize("most", [1, 2, 4, 5, 12, 36])
def test_the_size_that_is_worked_on_needs_the_same_canvas(most: int) -> None:
    tiny_phi4.needs_torchvision()
    import transformers

    twin = DynamicHD(
        transformers.Phi4MultimodalImageProcessor(size={"height": 64, "width": 64}, patch_size=2, dynamic_hd=most)
    )
    for height, width in np.random.default_rng(0).integers(20, 120 * math.isqrt(most), (60, 2)).tolist():
        first = twin._fit(height, width)
        again = twin._fit(first.height, first.width)
        assert again[:2] == first[:2]
        assert torch.equal(again.mask, first.mask)


def test_pixels_of_another_size_are_resized_as_the_processor_does(model: HFModel) -> None:
    """In 8 bit exactly; and with the gradient of the smooth resize."""
    assert model.twin is not None
    image = picture(100, 70)
    own = torch.from_numpy(np.array(image.array())).permute(2, 0, 1)[None].float() / 255
    found = model.twin.values(own.requires_grad_())["image_pixel_values"]
    torch.testing.assert_close(found.detach(), official(model.processor, [image.array()])["image_pixel_values"])
    (grad,) = torch.autograd.grad(found.square().sum(), own)
    assert (grad != 0).all()


def test_a_picture_that_is_too_long_costs_itself_only(model: HFModel) -> None:
    with pytest.raises(ValueError, match="aspect ratio is very extreme"):
        model.encode_chat(Chat.user(picture(10, 400), "what is it?"))


@pytest.mark.parametrize("layer", ["pooled", "patches"])
def test_features_have_a_gradient_to_every_part_of_the_picture(model: HFModel, layer: str) -> None:
    pixels = model.pixels(picture(100, 70)).requires_grad_()
    features = model.features(pixels, layer)  # type: ignore[arg-type]
    (grad,) = torch.autograd.grad(features.square().sum(), pixels)
    assert (grad != 0).all()


def test_pictures_of_one_size_are_seen_together_as_alone(model: HFModel) -> None:
    pixels = [model.pixels(picture(100, 70, seed)) for seed in (1, 2, 3)]
    together = model.family.encode(model.values(torch.cat(pixels)))
    alone = [model.family.encode(model.values(each)) for each in pixels]
    torch.testing.assert_close(together, torch.cat(alone))


def test_what_is_beyond_the_switch_of_frequencies_shares_nothing_with_what_is_not(switching: HFModel) -> None:
    image = picture(SIDE, SIDE)
    pairs = [(Chat.user(image, "what is it?"), "a cat"), (Chat.user(image, "name its colours, please"), "red and blue")]
    lengths = [len(switching.encode_chat(chat).ids) + len(answer) for chat, answer in pairs]
    assert lengths[0] <= 576 < lengths[1]
    assert checks.loss_difference(switching, pairs) <= 1e-5
    assert checks.gradient_difference(switching, pairs) <= 1e-5
    assert switching.step.choice.said.startswith("vision: beyond 576 tokens")
    asks = [Ask(chat, Settings(max_new_tokens=20)) for chat, _ in pairs]
    assert switching.tokens(asks) == [cache_free(switching, chat, 20) for chat, _ in pairs]


@torch.no_grad()
def cache_free(model: HFModel, chat: Chat, tokens: int) -> list[int]:
    """Greedy decoding by whole passes: at the switch, `generate` of transformers 5.24 drops its cache and goes on from
    the last token alone."""
    inputs = checks.official_inputs(model, chat)
    said: list[int] = []
    while len(said) < tokens and model.tokenizer.eos_token_id not in said:
        ids = torch.cat([inputs["input_ids"], torch.tensor([said], dtype=torch.long)], 1)
        given = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        said.append(int(model.model(**given, use_cache=False).logits[0, -1].argmax()))
    return said
