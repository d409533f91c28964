"""Two sets of rotary frequencies, one for long sequences (Phi-3, Phi-4): what is short and what is long never mixes."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import Phi3Config, Phi3ForCausalLM

from proofglass.types import Ask, Chat, Settings
from proofglass.victims.hf import checks
from proofglass.victims.hf.inside import hidden_states, next_token_logits
from proofglass.victims.hf.model import HFModel

from .common import shaken, template, text_fields, tokenizer

SWITCH = 40
BELOW, NEAR = "hello", "name the colours of it all, now"
BEYOND = "a question that is longer than the others are, by far"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("phi3") / "model"
    words = tokenizer([], template(""))
    config = Phi3Config(
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 1.0,
            "original_max_position_embeddings": SWITCH,
            "short_factor": [1.0, 1.1, 1.2, 1.3],
            "long_factor": [1.0, 2.0, 5.0, 9.0],
        },
        original_max_position_embeddings=SWITCH,
        **text_fields(words, max_position_embeddings=400),
    )
    shaken(Phi3ForCausalLM(config)).save_pretrained(folder)
    words.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["Phi3ForCausalLM"]
    return HFModel(folder, "cpu")


@pytest.fixture(scope="module")
def chats(model: HFModel) -> list[Chat]:
    found = [Chat.user(text) for text in (BELOW, NEAR, BEYOND, BELOW + "!", BEYOND + "!")]
    lengths = [len(model.encode_chat(chat).ids) for chat in found]
    assert lengths[0] + 12 < SWITCH
    assert SWITCH - 12 < lengths[1] < SWITCH < lengths[2]
    return found


def test_the_model_tells_where_it_switches(model: HFModel) -> None:
    assert model.family.switch == SWITCH


def test_replies_below_across_and_beyond_the_switch_are_those_of_transformers(
    model: HFModel, chats: list[Chat]
) -> None:
    assert checks.replies_agree(model, chats)
    crossing = model.tokens([Ask(chats[1], Settings(max_new_tokens=12))])[0]
    assert len(model.encode_chat(chats[1]).ids) + len(crossing) > SWITCH


def test_a_drawn_reply_across_the_switch_does_not_depend_on_its_batch(model: HFModel, chats: list[Chat]) -> None:
    asks = [Ask(chat, Settings(max_new_tokens=12, temperature=1.0)) for chat in chats]
    assert model.tokens(asks) == [model.tokens([ask])[0] for ask in asks]


def test_a_stop_string_is_found_across_the_switch(model: HFModel, chats: list[Chat]) -> None:
    said = model.tokens([Ask(chats[1], Settings(max_new_tokens=12))])[0]
    room = SWITCH - len(model.encode_chat(chats[1]).ids)
    mark = model.tokenizer.decode(said[room - 1 : room + 2])
    assert mark.strip()
    stopped = model.tokens([Ask(chats[1], Settings(max_new_tokens=12, stop=(mark,)))])[0]
    assert stopped == said[: room + 2]


def test_loss_on_both_sides_is_that_of_transformers(model: HFModel, chats: list[Chat]) -> None:
    answers = ["a cat", "red, blue and yellow", "so it goes", "b", "c"]
    pairs = list(zip(chats, answers, strict=True))
    with torch.no_grad():
        plain = torch.stack([checks.plain_loss(model, chat, answer) for chat, answer in pairs])
    found = model.loss_and_grad(torch.zeros(1, 3, 1, 1), model.prepare([pairs]), "pair", need_grad=False).nll[0]
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)
    logits = model.target_logits(torch.zeros(1, 3, 1, 1), model.prepare([pairs]))[0]
    for (chat, answer), each in zip(pairs, logits, strict=True):
        alone = model.target_logits(torch.zeros(1, 3, 1, 1), model.prepare([[(chat, answer)]]))[0][0]
        torch.testing.assert_close(each, alone, atol=1e-5, rtol=1e-5)


def test_states_on_both_sides_are_those_of_one_by_one(model: HFModel, chats: list[Chat]) -> None:
    together = next_token_logits(model, chats, 8)
    alone = torch.cat([next_token_logits(model, [chat], 1) for chat in chats])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    together = hidden_states(model, chats, [0, 1], 8)
    alone = torch.cat([hidden_states(model, [chat], [0, 1], 1) for chat in chats])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
