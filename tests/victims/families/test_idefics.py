"""IDEFICS 1 beyond the shared suite: pictures side by side, who sees which, text without a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from proofglass.types import Ask, Chat, Image, Settings
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel

from . import tiny_idefics


@pytest.fixture(scope="module", params=["plain", "instructed"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp(request.param) / "model"
    getattr(tiny_idefics, request.param)(made)
    return HFModel(made, "cpu")


@pytest.fixture(scope="module")
def images() -> list[Image]:
    return checks.odd_pictures(3, seed=3)


def chats(images: list[Image]) -> list[Chat]:
    one, two, three = images
    return [
        Chat.user(one, two, "side by side"),
        Chat.user("spaces ", one, " around ", two, " both").with_system(" be brief "),
        Chat.user(one, "first").say("a cat").ask("and", two, three),
        Chat.user("nothing to see"),
    ]


def test_tokens_and_who_sees_which_are_those_of_the_official_processor(model: HFModel, images: list[Image]) -> None:
    for chat in chats(images):
        official = checks.official_inputs(model, chat)
        ids = model.encode_chat(chat).ids
        assert list(ids) == official["input_ids"][0].tolist()
        sight = model.family._sight(torch.tensor([ids]), [range(len(chat.images))], None, False, False)
        assert torch.equal(sight.long(), official["image_attention_mask"].long())


def test_loss_and_gradient_with_several_pictures_are_those_of_transformers(model: HFModel, images: list[Image]) -> None:
    for chat in chats(images)[:3]:
        assert checks.loss_difference(model, [(chat, "a cat")]) <= 1e-5
        inputs = checks.official_inputs(model, chat)
        x = model.pixels(chat.images[0]).requires_grad_()
        others = inputs["pixel_values"][:, 1:]
        inputs["pixel_values"] = torch.cat([model.values(x)["pixel_values"][None], others], 1)
        target = model.tokenizer("a cat", add_special_tokens=False, return_tensors="pt")["input_ids"]
        start, more = inputs["input_ids"].shape[1], target.shape[1]
        inputs["input_ids"] = torch.cat([inputs["input_ids"], target], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        sight = inputs["image_attention_mask"]
        inputs["image_attention_mask"] = torch.cat([sight, sight[:, -1:].expand(-1, more, -1)], 1)
        labels = inputs["input_ids"].clone()
        labels[:, :start] = -100
        (plain,) = torch.autograd.grad(model.family.plain_loss(inputs, labels), x)
        found = model.loss_and_grad(x.detach(), model.prepare([[(chat, "a cat")]])).pixels
        assert (found - plain).abs().max() <= 1e-5 * plain.abs().max() > 0


def test_replies_with_and_without_pictures_share_a_batch(model: HFModel, images: list[Image]) -> None:
    assert checks.replies_agree(model, chats(images))


def test_a_repetition_penalty_reaches_the_added_tokens(model: HFModel, images: list[Image]) -> None:
    """Their logits stand behind those of the language model's own vocabulary."""
    model.model.generation_config.repetition_penalty = 1.3
    try:
        assert checks.replies_agree(model, chats(images))
    finally:
        model.model.generation_config.repetition_penalty = None


def test_every_packed_suffix_sees_the_picture_from_its_own_marker_on(model: HFModel) -> None:
    """The fake token in front of the second marker belongs to the second suffix, which has not seen a picture yet."""
    fake, marker = model.tokenizer.convert_tokens_to_ids(tiny_idefics.AROUND)
    ids = torch.tensor([[fake, marker, fake, 70, fake, marker, fake]])
    places = torch.tensor([[4, 5, 6, 7, 4, 5, 6]])
    assert model.family._sight(ids, [[0]], places, True, True)[0, :, 0].tolist() == [0, 1, 1, 1, 0, 1, 1]
    behind = torch.tensor([[70, 71, 70]])
    assert model.family._sight(behind, [[0]], torch.tensor([[7, 8, 7]]), True, True)[0, :, 0].tolist() == [1, 1, 1]


def test_a_reply_of_the_instructed_model_ends_with_its_turn(
    tmp_path: Path, images: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the folder's generation configuration says."""
    tiny_idefics.instructed(tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").unlink()
    model = HFModel(tmp_path / "model", "cpu")
    end = model.tokenizer.convert_tokens_to_ids("<end_of_utterance>")
    assert model.chats.render(Chat.user("a").say("b").ask("c")) == (
        "<s>User: a<end_of_utterance>\nAssistant: b<end_of_utterance>\nUser: c<end_of_utterance>\nAssistant:"
    )
    only = torch.nn.functional.one_hot(torch.tensor(end), model.family.vocabulary).float()
    monkeypatch.setattr(model.family, "head", lambda hidden: only.expand(*hidden.shape[:-1], -1))
    assert model.tokens([Ask(Chat.user(images[0]), Settings(max_new_tokens=3))]) == [[end]]


def test_a_model_without_an_end_of_turn_leaves_it_out(tmp_path: Path) -> None:
    tiny_idefics.plain(tmp_path / "model")
    shown = HFModel(tmp_path / "model", "cpu").chats.render(Chat.user("a").say("b").ask("c"))
    assert shown == "<s>User: a\nAssistant: b\nUser: c\nAssistant:"
