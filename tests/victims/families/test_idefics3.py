"""What only Idefics3 and SmolVLM have: tiles, a text that depends on their rows and columns, grey tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.idefics3.image_processing_pil_idefics3 import (
    Idefics3ImageProcessorPil,
    get_resize_output_image_size,
)
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from proofglass.types import Chat, Image
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel
from proofglass.victims.hf.twins import twin_of
from proofglass.victims.hf.twins.base import official

from .tiny_idefics3 import TILE, idefics3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny") / "model"
    idefics3(folder)
    return HFModel(folder, "cpu")


def processor(**fields: Any) -> Idefics3ImageProcessorPil:
    return Idefics3ImageProcessorPil(image_mean=[0.5] * 3, image_std=[0.5] * 3, resample=1, **fields)


@pytest.mark.parametrize(
    ("made", "tiles"),
    [
        (processor(size={"longest_edge": 1456}, max_image_size={"longest_edge": 364}), 4),  # Idefics3-8B
        (
            SmolVLMImageProcessorPil(size={"longest_edge": 2048}, max_image_size={"longest_edge": 512}),
            4,
        ),  # SmolVLM-256M
        (processor(size={"longest_edge": 364}, max_image_size={"longest_edge": 364}), 1),
        (processor(size={"longest_edge": 500}, max_image_size={"longest_edge": 90}, do_image_splitting=False), 1),
        (processor(do_resize=False, max_image_size={"longest_edge": 90}), None),
        (processor(size={"height": 200, "width": 150}, max_image_size={"longest_edge": 90}, do_pad=False), None),
    ],
    ids=["Idefics3-8B", "SmolVLM-256M", "one tile", "no tiles", "no resize", "one size, no mask"],
)
def test_the_twin_is_the_official_processor_at_real_sizes(made: Any, tiles: int | None) -> None:
    twin = twin_of(made)
    for image in checks.odd_pictures(1 if tiles == 4 else 2, seed=7, sides=(40, 700)):
        wanted = official(made, [np.array(image.array())])
        levels = torch.from_numpy(np.array(image.array())).permute(2, 0, 1)[None].float() / 255
        found = twin.values(twin.pixels(levels))
        assert set(found) == {"pixel_values", "pixel_attention_mask"} & set(wanted)
        for name, value in found.items():
            assert value.dtype == torch.as_tensor(wanted[name]).dtype
            torch.testing.assert_close(value, torch.as_tensor(wanted[name]), atol=1e-6, rtol=0)
        if tiles is not None:
            number = wanted["pixel_values"].shape[1]
            assert number == 1 if tiles == 1 else number % tiles == 1  # full rows or columns, and the whole


def test_pixels_have_a_size_that_the_processor_leaves_alone() -> None:
    real = twin_of(processor(size={"longest_edge": 1456}, max_image_size={"longest_edge": 364}))
    bare = twin_of(
        processor(size={"longest_edge": 1456}, max_image_size={"longest_edge": 364}, do_image_splitting=False)
    )
    for height, width in np.random.default_rng(0).integers(1, 6000, (300, 2)).tolist():
        size = real.size(height, width)
        assert max(size) == 1456
        assert size[0] % 364 == size[1] % 364 == 0
        assert real.size(*size) == size
        assert bare.size(height, width) == (height, width)  # resized twice, so no size is left alone


def test_sizes_are_those_of_the_official_processor_also_beyond_its_upper_bound() -> None:
    for edge in (1456, 5000):
        twin = twin_of(processor(size={"longest_edge": edge}, max_image_size={"longest_edge": 364}))
        for height, width in np.random.default_rng(1).integers(1, 9000, (200, 2)).tolist():
            wanted = get_resize_output_image_size(np.empty((0, height, width)), edge)
            assert twin._steps(height, width)[0] == wanted  # type: ignore[attr-defined]


def test_text_without_a_picture_is_not_lost_by_a_template_that_goes_through_parts(model: HFModel) -> None:
    assert not model.chats.takes_text
    assert model.has_system_role
    said = model.tokenizer.decode(model.encode_chat(Chat.user("where is it?").with_system("be brief")).ids)
    assert "be brief" in said
    assert "where is it?" in said


def test_a_grey_tile_is_a_tile_and_no_padding(model: HFModel) -> None:
    """0.5 is 0 after normalisation, which transformers' own `get_image_features` drops."""
    x = torch.full((2, 3, 4 * TILE, 2 * TILE), 0.5)
    features = model.family.encode(model.values(x))
    assert features.shape[:2] == (2, (4 * 2 + 1) * 4)
    chat = Chat.user(Image.from_array(np.zeros((4 * TILE, 2 * TILE, 3), np.uint8)), "what is it?")
    found = model.loss_and_grad(x[:1], model.prepare([[(chat, "a cat")]]))
    largest = torch.nn.functional.max_pool2d(found.pixels.abs().amax(1), TILE)
    assert bool((largest > 0).all())  # every tile has a gradient


def test_features_are_those_of_the_tower(model: HFModel) -> None:
    x = model.pixels(checks.odd_pictures(1, seed=3)[0])
    patches, pooled = model.features(x, "patches"), model.features(x, "pooled")
    tiles = model.values(x)["pixel_values"].shape[1]
    assert patches.shape == (1, tiles * 16, 32)
    torch.testing.assert_close(patches.mean(1), pooled)


def test_a_missing_package_of_the_official_processor_is_named(
    model: HFModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from transformers.models.smolvlm import processing_smolvlm

    from proofglass.errors import MissingExtra
    from proofglass.victims.hf.loading import full_processor

    monkeypatch.setattr(processing_smolvlm, "num2words", None)
    (tmp_path / "processor_config.json").write_text('{"processor_class": "SmolVLMProcessor"}')
    with pytest.raises(MissingExtra, match="pip install num2words"):
        full_processor(tmp_path, model.processor, model.tokenizer)
