"""Mllama beyond the shared suite: who sees which tiles, several pictures, shared prefixes of unlike rows, canvases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from proofglass.types import Chat, Image
from proofglass.victims.hf import checks
from proofglass.victims.hf.decoding import decode
from proofglass.victims.hf.families import mllama
from proofglass.victims.hf.model import HFModel
from proofglass.victims.shared.choosing import Rules

from . import tiny_mllama


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("mllama") / "model"
    tiny_mllama.build(made)
    return HFModel(made, "cpu")


@pytest.fixture(scope="module")
def images() -> list[Image]:
    """Of one, three and four tiles."""
    draw = np.random.default_rng(0)
    return [
        Image.from_array(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for height, width in ((12, 10), (9, 40), (60, 55))
    ]


def chats(images: list[Image]) -> list[Chat]:
    one, two, three = images
    return [
        Chat.user(one, two, "side by side"),
        Chat.user("before", one, "between", two, three, "behind"),
        Chat.user(one, "first").say("a cat").ask("and", three),
        Chat.user(three, "one of four tiles"),
        Chat.user(three, "another question on it, longer than the first"),
        Chat.user("nothing to see"),
    ]


def test_who_sees_which_tiles_is_what_the_official_processor_says(model: HFModel, images: list[Image]) -> None:
    for chat in chats(images)[:5]:
        official = checks.official_inputs(model, chat)["cross_attention_mask"]  # [1, T, M, tiles]
        ids, n = torch.tensor([model.encode_chat(chat).ids]), len(chat.images)
        sight = model.family._sight(ids, n, [range(n)], None)
        used = [model.pictures.fixed(image, True).grid[0] for image in chat.images]
        masks = mllama._masks(sight, torch.arange(n)[None], used, 4, 4, torch.float32)
        found = (masks["cross_attention_mask"] == 0).view(1, ids.shape[1], n, 4)
        opened = official.flatten(2).any(-1)
        assert torch.equal(masks["full_text_row_masked_out_mask"][0, 0, :, 0].bool(), opened[0])
        assert torch.equal(found[opened], official.bool()[opened])
        assert bool((~opened).any())
        assert bool(found[~opened].all())


def test_loss_and_gradient_with_several_pictures_are_those_of_transformers(model: HFModel, images: list[Image]) -> None:
    for chat in chats(images)[:4]:
        assert checks.loss_difference(model, [(chat, "a cat"), (chat, "nothing")]) <= 1e-5
        inputs = checks.official_inputs(model, chat)
        x = model.pixels(chat.images[0]).requires_grad_()
        others = inputs["pixel_values"][:, 1:]
        inputs["pixel_values"] = torch.cat([model.values(x)["pixel_values"], others], 1)
        target = model.tokenizer("a cat", add_special_tokens=False, return_tensors="pt")["input_ids"]
        start, more = inputs["input_ids"].shape[1], target.shape[1]
        inputs["input_ids"] = torch.cat([inputs["input_ids"], target], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        seen = inputs["cross_attention_mask"]
        inputs["cross_attention_mask"] = torch.cat([seen, seen[:, -1:].expand(-1, more, -1, -1)], 1)
        labels = inputs["input_ids"].clone()
        labels[:, :start] = -100
        (plain,) = torch.autograd.grad(model.family.plain_loss(inputs, labels), x)
        found = model.loss_and_grad(x.detach(), model.prepare([[(chat, "a cat")]])).pixels
        assert (found - plain).abs().max() <= 1e-5 * plain.abs().max() > 0


def test_text_in_front_of_a_picture_sees_it(model: HFModel, images: list[Image]) -> None:
    """Else that text could be run once for all pictures. The official mask, where closed, is set to zero."""
    inputs = [checks.official_inputs(model, Chat.user("before", images[k], "behind")) for k in (0, 2)]
    with torch.no_grad():
        one, other = (model.model.model(**each, use_cache=False).last_hidden_state[0, :4] for each in inputs)
    assert (one - other).abs().max() > 1e-2


@pytest.mark.parametrize("rows", [(0, 1, 2, 3, 4, 5), (3, 4), (3, 4, 5, 5), (0, 0, 3, 4), (3, 4, 1)])
def test_replies_of_unlike_rows_share_a_batch(model: HFModel, images: list[Image], rows: tuple[int, ...]) -> None:
    """Of no picture and up to three; all rows share a prefix, some do, or none."""
    asked = chats(images)
    assert checks.replies_agree(model, [asked[k] for k in rows])


def test_a_shared_picture_is_projected_once(
    model: HFModel, images: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys and values are copied from the shared prefix to all rows."""
    states: list[bool] = []
    run = mllama.run

    def watched(*args, **more):
        states.append("cross_attention_states" in more)
        return run(*args, **more)

    monkeypatch.setattr(mllama, "run", watched)
    pictures, rows = model._told([model.encode_chat(chat) for chat in chats(images)[3:5]])
    decode(model.family, rows, pictures, Rules(2, frozenset()), model.device, 0)
    assert states == [True, False, False]  # the prefix, what is behind it, the second token


def test_a_repetition_penalty_skips_the_marker_which_has_no_logit(model: HFModel, images: list[Image]) -> None:
    pictures, rows = model._told([model.encode_chat(chats(images)[3])])
    with_penalty = decode(model.family, rows, pictures, Rules(5, frozenset(), penalty=1.5), model.device, 0)
    without = decode(model.family, rows, pictures, Rules(5, frozenset()), model.device, 0)
    assert with_penalty != without


def test_pixels_keep_the_canvas_even_where_a_fitted_picture_would_get_another(model: HFModel) -> None:
    """A picture fitted to just above a whole tile is cut down to it, and would then fit a smaller canvas."""
    twin = model.twin
    assert twin is not None
    sizes = [(height, width) for height in range(1, 120) for width in range(1, 120)]
    own = [size for size in sizes if twin.size(*size) == size and twin._fitted(*size)[0] != size]
    assert own  # such sizes exist
    draw = np.random.default_rng(0)
    pictures = [Image.from_array(draw.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in own[:20]]
    assert checks.processor_difference(model, pictures) == 0


def test_a_system_prompt_beside_a_picture_stands_in_front_of_the_user_turn(model: HFModel, images: list[Image]) -> None:
    """The template raises for one, as that of the real weights does; without a picture it has a role."""
    alone, beside = Chat.user("why").with_system("be brief"), Chat.user(images[0], "why").with_system("be brief")
    assert model.chats.render(alone).startswith("<s><sys>be brief<user>why")
    assert model.chats.render(beside).startswith("<s><user>be brief\n<|image|>why")
    assert model.chats.system_role == "chat template; beside a picture, put in front of the first user turn"
