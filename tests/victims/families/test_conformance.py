"""One suite for every family: a tiny random model against plain transformers and the official processor."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from proofglass.types import Ask, Chat, Image, Settings
from proofglass.victims.hf import checks
from proofglass.victims.hf.model import HFModel

from .common import Case

QUESTIONS = [("what is it?", "a cat"), ("name the colour of the roof, please", "red ."), ("why", "so it goes")]


def chats(image: Image, *, system: str = "") -> list[tuple[Chat, str]]:
    """One picture, prompts and targets of unequal lengths."""
    return [(Chat.user(image, question).with_system(system), answer) for question, answer in QUESTIONS]


@pytest.fixture(scope="module")
def model(folder: Path) -> HFModel:
    return HFModel(folder, "cpu")


@pytest.fixture(scope="module")
def image(case: Case) -> Image:
    return checks.odd_pictures(1, seed=3, sides=case.odd_sides)[0]


def test_token_ids_are_those_of_the_official_processor(model: HFModel, image: Image, case: Case) -> None:
    asked = [chat for chat, _ in chats(image)]
    if model.has_system_role:
        asked += [chat for chat, _ in chats(image, system="be brief")]
    if case.pictures > 1:
        asked.append(Chat.user(image, "before", checks.odd_pictures(1, seed=4, sides=case.odd_sides)[0], "after"))
    assert checks.ids_agree(model, asked)


def test_loss_is_that_of_transformers(model: HFModel, image: Image) -> None:
    assert checks.loss_difference(model, chats(image)) <= 1e-5


def test_gradient_is_that_of_transformers_and_the_expected_path_gives_it(
    model: HFModel, image: Image, case: Case
) -> None:
    assert checks.gradient_difference(model, chats(image)) <= 1e-5
    assert model.step.choice.said.partition(":")[0] == case.path
    assert "disagrees" not in model.step.choice.said
    assert "Error" not in model.step.choice.said


def test_every_path_gives_the_plain_gradient(model: HFModel, image: Image) -> None:
    x, prepared = model.pixels(image), model.prepare([chats(image)])
    rows = [[*tasks] for tasks in _tasks(prepared)]
    wanted, exact = model.step.run("plain", {"image": x}, rows, True)
    for path in model.family.paths:
        found, grad = model.step.run(path, {"image": x}, rows, True)
        torch.testing.assert_close(torch.cat(found[0]), torch.cat(wanted[0]), atol=1e-5, rtol=1e-5)
        assert (grad["image"] - exact["image"]).abs().max() <= 1e-5 * exact["image"].abs().max()


def _tasks(prepared):
    from proofglass.victims.shared.tasks import tasks_of

    return tasks_of(prepared, "pair")


def test_gradient_is_the_slope_of_the_loss(folder: Path, image: Image) -> None:
    exact = HFModel(folder, "cpu", "float64")
    assert checks.slope_difference(exact, *chats(image)[0]) <= 1e-4
    assert checks.gradient_difference(exact, chats(image)) <= 1e-5  # rows with padding, too


def test_replies_are_those_of_transformers_token_for_token(model: HFModel, image: Image, case: Case) -> None:
    """Three questions on one picture (shared), one on another, one without; one batch of mixed lengths."""
    other = checks.odd_pictures(1, seed=5, sides=case.odd_sides)[0]
    asked = [chat for chat, _ in chats(image)] + [Chat.user(other, "where is it?"), Chat.user(image).say("a").ask("b")]
    if case.pictures > 1:
        asked.append(Chat.user(image, "first", other, "second"))
    assert checks.replies_agree(model, asked)


def test_a_reply_may_say_what_stands_for_pictures(model: HFModel, image: Image) -> None:
    """A head that says place holder, marker or the like every few tokens: they are words then, no pictures."""
    asked = [chat for chat, _ in chats(image)] + [Chat.user(image).say("a").ask("b")]
    head = model.family.writer.get_output_embeddings()
    run = model.chats._run(*model.chats.size_of(image), several=False)
    for token in sorted({model.image_token, model.chats.marker, run[0], run[-1]}):
        if token >= model.family.vocabulary:
            continue  # Mllama has no logit for its marker
        handle = head.register_forward_hook(partial(_often, token))
        try:
            assert checks.replies_agree(model, asked)
        finally:
            handle.remove()


def _often(token: int, _head: object, _given: object, logits: torch.Tensor) -> torch.Tensor:
    best, said = logits.argmax(-1), logits.clone()
    said[..., token] = torch.where(best % 3 == 0, 1e4, said[..., token])
    return said


def test_batched_replies_are_those_of_one_by_one(model: HFModel, image: Image) -> None:
    settings = Settings(max_new_tokens=12)
    asks = [Ask(chat, settings) for chat, _ in chats(image)]
    assert model.tokens(asks) == [model.tokens([ask])[0] for ask in asks]


def test_the_twin_is_the_official_processor(model: HFModel, case: Case) -> None:
    """100 pictures of odd sizes; the largest difference is asserted in the units of a pixel."""
    assert checks.processor_difference(model, checks.odd_pictures(100, sides=case.odd_sides)) <= 1 / 255


def test_pillow_and_our_own_passes_make_the_same_of_a_picture(model: HFModel, case: Case) -> None:
    for picture in checks.odd_pictures(5, seed=7, sides=case.odd_sides):
        floats = torch.from_numpy(picture.array().copy()).permute(2, 0, 1)[None].float() / 255
        x = model.pixels(picture)  # by Pillow, in 8 bit
        assert torch.equal(x, model.twin.pixels(floats.requires_grad_()).detach())
        with_gradient = model.values(x.clone().requires_grad_())
        for name, value in model.values(x).items():
            assert torch.equal(value, with_gradient[name].detach()), name


def test_a_picture_as_png_has_the_loss_of_its_pixels(model: HFModel, image: Image) -> None:
    from proofglass.engine import quantise

    chat, target = chats(image)[0]
    (saved,) = quantise(model.pixels(image))
    assert checks.png_difference(model, chat.with_image(saved), target) <= 1e-4
    torch.testing.assert_close(model.pixels(saved), model.pixels(image))
