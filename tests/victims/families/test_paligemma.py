"""PaliGemma beyond the shared suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from proofglass.types import Chat
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel

from . import tiny_paligemma

ANSWERS = ["a cat", "red .", "so it goes on and on", "x"]


@pytest.fixture(scope="module", params=[tiny_paligemma.with_gemma, tiny_paligemma.with_gemma2], ids=["1", "2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    build: Callable[[Path], None] = request.param
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("paligemma") / "model"
    build(folder)
    return HFModel(folder, "cpu")


def test_targets_of_one_prompt_share_picture_and_prompt(model: HFModel) -> None:
    chat = Chat.user(checks.odd_pictures(1)[0], "what is it, please?")
    pairs = [(chat, answer) for answer in ANSWERS]
    assert checks.loss_difference(model, pairs) <= 1e-5
    assert checks.gradient_difference(model, pairs) <= 1e-5
    assert model.step.choice.said.startswith("prefix: agrees")


def test_pairs_are_grouped_by_prompt(model: HFModel) -> None:
    image = checks.odd_pictures(1)[0]
    chats = [Chat.user(image, question) for question in ("what is it?", "and which colour has it?", "why?")]
    pairs = [(chats[0], "a cat"), (chats[1], "red"), (chats[0], "so"), (chats[1], "dark red"), (chats[2], "who knows")]
    assert checks.loss_difference(model, pairs) <= 1e-5
    assert checks.gradient_difference(model, pairs) <= 1e-5
    assert model.step.choice.said.startswith("prefix: agrees")


def test_the_size_of_a_row_changes_nothing(model: HFModel) -> None:
    chat = Chat.user(checks.odd_pictures(1)[0], "what is it?")
    x, prepared = model.pixels(chat.images[0]), model.prepare([[(chat, answer) for answer in ANSWERS]])
    whole = model.loss_and_grad(x, prepared).pixels
    before, model.step.micro = model.step.micro, 1
    single = model.loss_and_grad(x, prepared).pixels
    model.step.micro = before
    assert (whole - single).abs().max() <= 1e-6 * whole.abs().max()


def test_different_prompts_share_the_tower_only(model: HFModel) -> None:
    image = checks.odd_pictures(1)[0]
    pairs = [(Chat.user(image, "what is it?"), "a cat"), (Chat.user(image, "why?"), "a cat")]
    assert checks.gradient_difference(model, pairs) <= 1e-5
    assert model.step.choice.said.startswith("vision: the language model shares nothing between these pairs")


def test_a_prompt_is_pictures_begin_token_text_and_line_break(model: HFModel) -> None:
    one, other = checks.odd_pictures(2)
    chat = Chat.user("which of", one, other, "?").with_system("be brief")
    assert not model.has_system_role
    tokens = model.tokenizer.convert_ids_to_tokens(list(model.encode_chat(chat).ids))
    n = 2 * tiny_paligemma.TOKENS
    assert tokens[: n + 1] == ["<image>"] * n + ["<s>"]
    assert "".join(tokens[n + 1 :]) == "beĠbriefĊwhichĠof?Ċ"
