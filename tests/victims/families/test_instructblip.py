"""InstructBLIP beyond the shared suite: what the Q-Former reads, and pairs that share their prompt."""

from __future__ import annotations

import pytest
import torch

from proofglass.types import Ask, Chat, Image, Settings
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel

from . import tiny_instructblip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("instructblip") / "model"
    tiny_instructblip.build(made)
    return HFModel(made, "cpu")


@pytest.fixture(scope="module")
def image() -> Image:
    return checks.odd_pictures(1, seed=3)[0]


@pytest.mark.parametrize(
    "text", ["Naïve  façade,\n\tTWO spaces", "it's 3 % o'clock ' n't </s> [SEP] ##a", " 你好 \N{GRINNING FACE} ", ""]
)
def test_the_q_former_reads_what_the_official_processor_gives_it(model: HFModel, image: Image, text: str) -> None:
    chat = Chat.user(image, text).with_system("Be Brief")
    official = checks.official_inputs(model, chat)["qformer_input_ids"][0].tolist()
    assert model.family._instruction(model.encode_chat(chat).ids) == official


def test_targets_of_one_prompt_share_the_prefix(model: HFModel, image: Image) -> None:
    pairs = [(Chat.user(image, "what is it?"), target) for target in ("a cat", "nothing at all", "so")]
    assert checks.loss_difference(model, pairs) <= 1e-5
    assert checks.gradient_difference(model, pairs) <= 1e-5
    assert model.step.choice.said.partition(":")[0] == "prefix"


def test_mixed_prompts_share_where_their_prompt_is_the_same(model: HFModel, image: Image) -> None:
    pairs = [(Chat.user(image, ask), said) for ask in ("why", "what is it?") for said in ("a cat", "nothing", "red .")]
    assert checks.gradient_difference(model, pairs) <= 1e-5
    assert model.step.choice.said.partition(":")[0] == "prefix"


def test_the_prompt_changes_how_the_picture_is_seen(model: HFModel, image: Image) -> None:
    """Else sharing a picture's tokens between prompts would be right."""
    ids = [model.encode_chat(Chat.user(image, ask)).ids for ask in ("what is it?", "where is it")]
    (one,), (other,) = (model.family._asked([row], [model.pictures.fixed(image, True)], [[0]])[0] for row in ids)
    assert (one.features - other.features).abs().max() > 1e-2


def test_an_instruction_too_long_for_the_q_former_costs_its_own_ask(model: HFModel, image: Image) -> None:
    settings = Settings(max_new_tokens=2)
    long = Chat.user(image, "a " * tiny_instructblip.READS)
    found = model.reply([Ask(long, settings), Ask(Chat.user(image, "why"), settings)], 8)
    assert [reply.outcome for reply in found] == ["error", "ok"]
    assert "98 tokens for the Q-Former, which reads at most 96" in found[0].reason
