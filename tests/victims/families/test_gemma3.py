"""Gemma 3 beyond the shared suite."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from proofglass.errors import UsageError
from proofglass.types import Chat, Image
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel

from . import tiny_gemma3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("gemma") / "model"
    tiny_gemma3.build(made)
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> HFModel:
    return HFModel(folder, "cpu")


def test_the_blank_lines_around_a_picture_share_tokens_with_the_text_beside_it(model: HFModel) -> None:
    one, other = checks.odd_pictures(2)
    ids = list(model.encode_chat(Chat.user("x", one, other, "what?")).ids)
    soft = [tiny_gemma3.SOFT] * tiny_gemma3.TOKENS
    assert model.tokenizer.convert_ids_to_tokens(ids) == [
        *("<s>", "<user>", "x", "ĊĊ", tiny_gemma3.BEGIN, *soft, tiny_gemma3.END),
        *("ĊĊĊĊ", tiny_gemma3.BEGIN, *soft, tiny_gemma3.END, "ĊĊw", *"hat?", "</s>", "Ċ", "<bot>"),
    ]


def test_two_pictures_have_the_loss_of_plain_transformers(model: HFModel) -> None:
    one, other = checks.odd_pictures(2)
    pairs = [(Chat.user(one, "and", other, "which?"), "the left"), (Chat.user(one, other, "why?"), "it is")]
    assert checks.loss_difference(model, pairs) <= 1e-5


def test_eager_attention_takes_the_same_paths(folder: Path) -> None:
    """It adds its masks: a boolean one would be silently wrong."""
    eager = HFModel(folder, "cpu")
    eager.model.set_attn_implementation("eager")
    image = checks.odd_pictures(1)[0]
    pairs = [(Chat.user(image, "what is it?"), "a cat"), (Chat.user(image, "and which colour has it?"), "red")]
    assert checks.loss_difference(eager, pairs) <= 1e-5
    assert checks.gradient_difference(eager, pairs) <= 1e-5
    assert eager.step.choice.said.startswith("prefix: agrees")
    assert checks.replies_agree(eager, [chat for chat, _ in pairs])


def scanning(folder: Path, made: Path, processor: str) -> Path:
    """A folder that asks for pan-and-scan crops, of a processor of text and pictures."""
    made.mkdir()
    for file in folder.iterdir():
        (made / file.name).write_bytes(file.read_bytes())
    crops = {"do_pan_and_scan": True, "pan_and_scan_min_crop_size": 8, "pan_and_scan_max_num_crops": 4}
    described = {**tiny_gemma3.IMAGES, **crops, "pan_and_scan_min_ratio_to_activate": 1.2}
    (made / "preprocessor_config.json").write_text(json.dumps(described))
    (made / "processor_config.json").write_text(processor)
    return made


def test_pan_and_scan_is_off_as_in_the_processor_of_text_and_pictures(folder: Path, tmp_path: Path) -> None:
    model = HFModel(scanning(folder, tmp_path / "off", (folder / "processor_config.json").read_text()), "cpu")
    pairs = [(Chat.user(Image.from_array(np.full((40, 120, 3), 90, np.uint8)), "what is it?"), "a cat")]
    assert checks.ids_agree(model, [chat for chat, _ in pairs])
    assert checks.loss_difference(model, pairs) <= 1e-5


def test_pan_and_scan_is_refused_where_nothing_turns_it_off(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="do_pan_and_scan: expected false or null, found true"):
        HFModel(scanning(folder, tmp_path / "on", "{}"), "cpu")
