"""LLaVA-OneVision beyond the shared suite: shrunk canvases, and several pictures in a chat, which are not tiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from proofglass.types import Chat, Image
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel
from proofglass.victims.hf.twins.base import official, pillow

from . import tiny_llava_onevision

PATCHES = 16  # of a tile


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("onevision") / "model"
    tiny_llava_onevision.build(made)
    return HFModel(made, "cpu")


@pytest.fixture(scope="module")
def pictures() -> list[Image]:
    return [picture(90, 60, 0), picture(30, 200, 1)]


def picture(height: int, width: int, seed: int = 0) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        ((28, 28), PATCHES + 4 * 5),  # one tile
        ((84, 84), PATCHES + 12 * 13),  # nine tiles
        ((112, 112), PATCHES + 12 * 13),  # sixteen, shrunk to nine
        ((1, 300), PATCHES + 0),  # nothing is left but the whole
    ],
)
def test_a_picture_takes_at_most_nine_tiles_worth_of_tokens(model: HFModel, size: tuple[int, int], tokens: int) -> None:
    chat = Chat.user(picture(*size), "what is it?")
    (slot,) = model.encode_chat(chat).slots
    assert slot.last - slot.first == tokens
    assert checks.ids_agree(model, [chat])
    assert checks.loss_difference(model, [(chat, "a cat")]) <= 1e-5


def test_pictures_of_one_chat_are_those_of_the_official_processor(model: HFModel) -> None:
    assert model.twin is not None
    assert model.twin.several is not None
    for image in checks.odd_pictures(30):
        both = official(model.processor, [[pillow(image.array())] * 2])
        found = model.values(torch.cat([model.pixels(image)] * 2), several=True)
        assert set(found) == set(both)
        for name, value in found.items():
            torch.testing.assert_close(value, both[name].to(value.dtype), atol=1e-6, rtol=0)


def test_several_pictures_take_one_tile_each(model: HFModel, pictures: list[Image]) -> None:
    prompt = model.encode_chat(Chat.user(*pictures, "which is larger?"))
    assert [slot.last - slot.first for slot in prompt.slots] == [PATCHES + 1] * 2


def plain(model: HFModel, chat: Chat, target: str, x: Tensor) -> Tensor:
    """Loss of plain transformers for a chat with several pictures, the first one through the twin."""
    assert model.twin is not None
    assert model.twin.several is not None
    inputs = checks.official_inputs(model, chat)
    first = model.twin.several.values(x)["pixel_values"]
    inputs["pixel_values"] = torch.cat([first, inputs["pixel_values"][1:]])
    answer = torch.tensor([model.tokenizer(target, add_special_tokens=False)["input_ids"]])
    labels = torch.cat([torch.full_like(inputs["input_ids"], -100), answer], 1)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], answer], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return model.model(**inputs, labels=labels, use_cache=False).loss


def test_loss_and_gradient_with_and_without_further_pictures_are_those_of_transformers(
    model: HFModel, pictures: list[Image]
) -> None:
    alone = Chat.user(pictures[0], "what is it?")
    beside = Chat.user(*pictures, "which is larger?")
    x = model.pixels(pictures[0]).requires_grad_()
    wanted = torch.stack([checks.plain_loss(model, alone, "a cat", x), plain(model, beside, "the left", x)])
    (grad,) = torch.autograd.grad(wanted.mean(), x)
    prepared = model.prepare([[(alone, "a cat"), (beside, "the left")]])
    found = model.loss_and_grad(x.detach(), prepared, "pair")
    torch.testing.assert_close(found.nll[0], wanted.detach(), atol=1e-5, rtol=1e-5)
    assert (found.pixels - grad).abs().max() <= 1e-5 * grad.abs().max()


def test_a_picture_is_remembered_alone_and_beside_others(model: HFModel, pictures: list[Image]) -> None:
    asked = [Chat.user(pictures[0], "what?"), Chat.user(*pictures, "which?"), Chat.user(pictures[1], "what?")]
    assert checks.replies_agree(model, asked)
    assert checks.replies_agree(model, asked[::-1])
