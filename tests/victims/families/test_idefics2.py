"""What only Idefics2 has: its processor writes spaces and shared tokens around pictures, and pads with a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from transformers.models.idefics2.image_processing_pil_idefics2 import Idefics2ImageProcessorPil

from proofglass.errors import UsageError
from proofglass.types import Chat, Image
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel
from proofglass.victims.hf.twins import twin_of
from proofglass.victims.hf.twins.base import official

from .tiny_idefics2 import TEMPLATE, build, in_quarters

FIRST, SECOND = checks.odd_pictures(2, seed=5, sides=(16, 90))


@pytest.fixture(scope="module", params=[build, in_quarters], ids=["whole", "quarters"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    torch.manual_seed(0)
    folder: Path = tmp_path_factory.mktemp("tiny") / "model"
    request.param(folder)
    return HFModel(folder, "cpu")


@pytest.mark.parametrize(
    "parts",
    [
        (FIRST, "what is it?"),  # the official processor puts a space in front of the word
        (FIRST, " what is it?"),
        (FIRST, "\nwhat is it?"),
        (FIRST, "<b>what is it?"),  # none in front of a bracket
        ("before", FIRST, "after"),
        (FIRST, SECOND, "which?"),  # neighbours share a token
        (FIRST, " ", SECOND, "which?"),
        ("only", FIRST),
    ],
)
def test_token_ids_are_those_of_the_official_processor_on_its_own_template(
    model: HFModel, parts: tuple[str | Image, ...]
) -> None:
    content = [{"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in parts]
    text = model.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], chat_template=TEMPLATE, add_generation_prompt=True, tokenize=False
    )
    images = [Pillow.fromarray(part.array()) for part in parts if isinstance(part, Image)]
    wanted = model.chats.full_processor(text=[text], images=[images], add_special_tokens=False)
    assert list(model.encode_chat(Chat.user(*parts)).ids) == wanted["input_ids"][0]


def test_a_picture_of_one_row_has_no_quarters(model: HFModel) -> None:
    flat = Image.from_array(np.zeros((1, 40, 3), np.uint8))
    if not model.processor.do_image_splitting:
        assert checks.processor_difference(model, [flat]) == 0
        return
    with pytest.raises(ValueError, match="expected a height of at least 2, to be cut in four, found 1 x 40"):
        model.encode_chat(Chat.user(flat, "what?"))


@pytest.mark.parametrize("stated", [{"do_rescale": False}, {"rescale_factor": 1 / 127.5}])
def test_another_range_of_pixels_is_refused(stated: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected true and 1/255"):
        twin_of(Idefics2ImageProcessorPil(**stated))


def test_a_users_own_picture_mark_is_text(model: HFModel) -> None:
    ids = model.encode_chat(Chat.user(FIRST, "<image>what<image> is it?")).ids
    parts = 5 if model.processor.do_image_splitting else 1
    assert ids.count(model.image_token) == 5 * parts
    assert "<image>what<image> is it?" in model.tokenizer.decode([i for i in ids if i != model.image_token])


def test_patches_are_those_of_the_picture_without_its_padding(model: HFModel) -> None:
    """57 x 41: quarters of 28 x 20, 28 x 21, 29 x 20, 29 x 21 and the whole; patches of 5."""
    image = Image.from_array(np.random.default_rng(0).integers(0, 256, (57, 41, 3), np.uint8))
    patches = model.features(model.pixels(image), "patches")
    whole, quarter = 11 * 8, 5 * 4
    assert patches.shape == (1, whole + 4 * quarter if model.processor.do_image_splitting else whole, 32)
    torch.testing.assert_close(patches.mean(1), model.features(model.pixels(image)))


@pytest.mark.parametrize(
    "fields",
    [
        {"size": {"shortest_edge": 378, "longest_edge": 980}},  # Idefics2-8B
        {"size": {"shortest_edge": 378, "longest_edge": 980}, "do_image_splitting": True},
        {"size": {"shortest_edge": 378, "longest_edge": 980}, "do_pad": False},
        {"size": {"height": 200, "width": 150}},
        {"do_resize": False},
    ],
    ids=["Idefics2-8B", "quarters", "no mask", "one size", "no resize"],
)
def test_the_twin_is_the_official_processor_at_real_sizes(fields: dict) -> None:
    made = Idefics2ImageProcessorPil(**fields)
    twin = twin_of(made)
    for image in checks.odd_pictures(2, seed=7, sides=(300, 1300)):
        wanted = official(made, [np.array(image.array())])
        levels = torch.from_numpy(np.array(image.array())).permute(2, 0, 1)[None].float() / 255
        found = twin.values(twin.pixels(levels))
        assert set(found) == set(wanted)
        for name, value in found.items():
            torch.testing.assert_close(value, torch.as_tensor(wanted[name]), atol=1e-6, rtol=0)


def test_pixels_have_a_size_that_the_processor_leaves_alone() -> None:
    whole = twin_of(Idefics2ImageProcessorPil())
    quarters = twin_of(Idefics2ImageProcessorPil(do_image_splitting=True))
    for height, width in np.random.default_rng(0).integers(1, 4000, (300, 2)).tolist():
        size = whole.size(height, width)
        assert whole.size(*size) == size
        assert quarters.size(height, width) == (height, width)
