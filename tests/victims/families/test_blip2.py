"""BLIP-2 beyond the shared suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from proofglass.errors import UsageError
from proofglass.types import Ask, Chat, Settings
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel

from . import tiny_blip2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("blip2") / "model"
    tiny_blip2.with_opt(made)
    return made


def test_the_picture_and_the_begin_token_stand_in_front_of_the_question(folder: Path) -> None:
    model = HFModel(folder, "cpu")
    chat = Chat.user("what is", checks.odd_pictures(1)[0], "it?").with_system("be brief")
    ids = list(model.encode_chat(chat).ids)
    n = tiny_blip2.QUERIES
    assert ids[: n + 1] == [model.image_token] * n + [model.tokenizer.bos_token_id]
    assert model.tokenizer.decode(ids[n + 1 :]) == "be brief Question: what isit? Answer:"


def test_in_float16_the_language_models_dtype_decides_what_agreement_is(folder: Path) -> None:
    """The Q-Former stays in float32, and so would the dtype of the whole model say."""
    model = HFModel(folder, "cpu", "float16")
    image = checks.odd_pictures(1)[0]
    assert (model.model.dtype, model.family.dtype) == (torch.float32, torch.float16)
    pairs = [(Chat.user(image, "what"), "a cat"), (Chat.user(image, "and the roof"), "red .")]
    model.loss_and_grad(model.pixels(image), model.prepare([pairs]))
    assert model.step.choice.said.startswith("prefix: agrees")


def test_a_reply_ends_with_the_language_models_own_end_token(folder: Path) -> None:
    """The class hands `generate` to its language model, whose configuration ends replies with a line break."""
    model = HFModel(folder, "cpu")
    line_break = model.tokenizer.convert_tokens_to_ids("Ċ")
    with torch.no_grad():  # a head that says nothing else
        head = model.model.get_output_embeddings()
        head.weight.zero_()
        head.weight[line_break] = 1
        model.family.body.decoder.final_layer_norm.weight.zero_()
        model.family.body.decoder.final_layer_norm.bias.fill_(1)
    chat = Chat.user(checks.odd_pictures(1)[0], "what is it?")
    assert model.tokens([Ask(chat, Settings(max_new_tokens=5))]) == [[line_break]]
    assert checks.plain_reply(model, chat, 5) == [line_break]


def test_two_pictures_have_the_loss_of_plain_transformers(folder: Path) -> None:
    """Written by hand: the official processor knows one picture."""
    model = HFModel(folder, "cpu")
    chat = Chat.user(*checks.odd_pictures(2), "which is larger?")
    prepared = model.prepare([[(chat, "the left")]])
    pair = prepared.pairs[0][0]
    ids = torch.tensor([pair.ids])
    labels = ids.clone()
    labels[:, : pair.start] = -100
    with torch.no_grad():
        pixels = torch.cat([model.values(model.pixels(image))["pixel_values"] for image in chat.images])
        plain = model.model(input_ids=ids, pixel_values=pixels, labels=labels, use_cache=False).loss
    found = model.loss_and_grad(model.pixels(chat.images[0]), prepared).loss[0]
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)


def test_an_encoder_decoder_is_refused_before_its_weights_are_read(folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "flan"
    made.mkdir()
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] = {"model_type": "t5"}
    (made / "config.json").write_text(json.dumps(config))
    save_file({"layers.9.w": torch.zeros(1)}, made / "model.safetensors")  # as many layers as are promised
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (made / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(UsageError, match=r"text_config.model_type: .* found 't5', an encoder-decoder.* OPT or Vicuna"):
        HFModel(made, "cpu")
