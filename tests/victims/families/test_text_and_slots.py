"""The text side and several pictures of every family: a tiny random model against itself, one candidate at a time, and
against plain transformers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from proofglass.types import Chat, Image
from proofglass.victims.hf import checks
from proofglass.victims.hf_folder import HF
from proofglass.victims.shared.tasks import tasks_of

from .common import Case

SUFFIX = "! ? !"
CANDIDATES = ["! ? !", "! a !", "b . !", "c", "what is more"]
STEPS = (2.0**-5, 2.0**-7, 2.0**-9)  # of finite differences: norms run in float32, whatever the weights are
READS_TEXT = {"InstructBLIP"}  # its Q-Former reads the text, not the embeddings


@pytest.fixture(scope="module")
def victim(folder: Path) -> HF:
    return HF(folder, device="cpu")


@pytest.fixture(scope="module")
def exact(folder: Path) -> HF:
    return HF(folder, device="cpu", dtype="float64")


@pytest.fixture(scope="module")
def pictures(case: Case) -> tuple[Image, Image]:
    one, two = (checks.odd_pictures(1, seed=seed, sides=case.odd_sides)[0] for seed in (3, 4))
    return one, two


def singles(victim, pixels, prepared, candidates):
    each = [victim.loss_and_grad(pixels, prepared.filled([ids]), need_grad=False).loss for ids in candidates]
    return torch.stack(each, 1)


@pytest.mark.parametrize("kind", ["a picture that changes", "a fixed picture", "no picture"])
def test_the_losses_of_candidates_are_those_of_one_at_a_time(victim: HF, pictures, kind: str) -> None:
    shown = [] if kind == "no picture" else [pictures[0]]
    pairs = [(Chat.user(*shown, f"what is it {SUFFIX} ok"), "a cat"), (Chat.user(*shown, f"why {SUFFIX}"), "so")]
    free = kind == "a picture that changes"
    prepared = victim.prepare([pairs], mark=SUFFIX, slots=("image",) if free else ())
    pixels = victim.pixels(pictures[0]).flip(-1) if free else None
    candidates = [victim.encode(text) for text in CANDIDATES]
    found = victim.losses_of(pixels, prepared, [candidates])
    assert found.shape == (1, len(candidates))
    torch.testing.assert_close(found, singles(victim, pixels, prepared, candidates), rtol=2e-5, atol=1e-6)
    assert found.std() > 1e-4  # they are not alike
    said = victim.model.candidates.said
    assert "disagrees" not in said
    assert "Error" not in said
    if kind != "no picture":
        assert said.startswith("whole rows" if victim.model.family.share == "prompt" else "shared picture"), said
    elif not victim.model.family.crossed:
        assert said.startswith("whole rows" if victim.model.family.share == "prompt" else "shared text"), said


def test_a_token_replaced_is_its_embedding_replaced(exact: HF, pictures, case: Case) -> None:
    """And so the gradient of the mark is the slope of the loss along the way to another token."""
    chat = Chat.user(pictures[0], f"what is it {SUFFIX} ok")
    prepared, x = exact.prepare([[(chat, "a cat")]], mark=SUFFIX), exact.pixels(pictures[0])
    ((places,),) = prepared.places
    first, last = places.mark
    new, rows = exact.encode("zebra")[0], exact.embeddings()
    assert exact.embedding_width == rows.shape[1]
    ids = list(places.ids[first:last])
    way = (rows[new] - rows[ids[1]]).float()
    place = prepared.pairs[0][0].text_places.index(first + 1)

    def moved(by: float) -> torch.Tensor:
        text = torch.zeros(prepared.text_tokens[0][0], exact.embedding_width)
        text[place] = by * way
        return exact.loss_and_grad(x, prepared, need_grad=False, text=[[text]]).loss[0]

    if case.name not in READS_TEXT:
        replaced = exact.loss_and_grad(x, prepared.filled([[ids[0], new, *ids[2:]]]), need_grad=False).loss[0]
        torch.testing.assert_close(moved(1.0), replaced, rtol=1e-5, atol=1e-6)
    loss, (grad,) = exact.mark_gradient(x, prepared)
    assert grad.shape == (last - first, exact.embedding_width)
    torch.testing.assert_close(loss[0], moved(0.0))
    slopes = [(8 * (moved(h) - moved(-h)) - moved(2 * h) + moved(-2 * h)) / (12 * h) for h in STEPS]
    wanted = float((grad[1] * way).sum())
    assert min(abs(float(slope) - wanted) for slope in slopes) <= 1e-3 * abs(wanted) + 1e-6


def test_tokens_of_a_text_are_those_of_a_chat_and_come_back(victim: HF, pictures) -> None:
    text = "a red kite, ! ? !"
    assert victim.decode(victim.encode(text)) == text
    prepared = victim.prepare([[(Chat.user(pictures[0], f"x {SUFFIX} y"), "a")]], mark=SUFFIX)
    ((places,),) = prepared.places
    first, last = places.mark
    assert victim.decode(places.ids[first:last]).strip() == SUFFIX
    assert victim.decode(places.ids[places.target[0] :]) == "a"
    ((begin, end),) = places.pictures
    assert not first <= begin < last
    assert prepared.text_tokens == ((places.target[0] - (end - begin),),)


def test_writable_tokens_are_text_and_no_control_token(victim: HF) -> None:
    allowed = victim.writable()
    assert len(allowed) == len(victim.embeddings())
    assert allowed[victim.encode("a!?")].all()
    model = victim.model
    assert not any(allowed[t] for t in (*model.tokenizer.all_special_ids, model.image_token, *victim.encode("\n")))


def test_a_control_token_in_a_text_is_plain_text(victim: HF) -> None:
    for mark in map(victim.decode, ([t] for t in victim.model.tokenizer.all_special_ids)):
        assert not set(victim.encode(mark)) & set(victim.model.tokenizer.all_special_ids)


# ---------------------------------------------------------------- several pictures


def turns(one: Image, two: Image, question: str) -> Chat:
    return Chat.user(one, "look").say("a").ask(two, question)


def pairs(one: Image, two: Image) -> list[tuple[Chat, str]]:
    """Two pictures in two turns, questions and targets of unequal lengths."""
    asked = [("what is it?", "a cat"), ("name the colour of the roof", "red ."), ("why", "so it goes")]
    return [(turns(one, two, question), answer) for question, answer in asked]


def test_the_loss_of_two_pictures_in_two_turns_is_that_of_transformers(victim: HF, pictures, case: Case) -> None:
    one, two = pictures
    x = {"image": victim.pixels(one), "image2": victim.pixels(two)}
    prepared = victim.prepare([pairs(one, two)], slots=("image", "image2"))
    assert prepared.slots == ("image", "image2")
    found = victim.loss_and_grad(x, prepared, weighting="pair")
    if case.pictures > 1:  # BLIP-2's own processor takes one only
        with torch.no_grad():
            plain = torch.stack([checks.plain_loss(victim.model, chat, target) for chat, target in pairs(one, two)])
        torch.testing.assert_close(found.nll[0], plain, rtol=1e-5, atol=1e-5)
    assert "disagrees" not in victim.gradient_path()
    assert "Error" not in victim.gradient_path()
    assert {slot: grad.shape for slot, grad in found.pixels.items()} == {slot: each.shape for slot, each in x.items()}


def test_every_path_gives_both_pictures_their_gradient(exact: HF, pictures) -> None:
    x = {slot: exact.pixels(image).double() for slot, image in zip(("image", "image2"), pictures, strict=True)}
    step, rows = exact.model.step, tasks_of(exact.prepare([pairs(*pictures)], slots=tuple(x)), "pair")
    wanted, slopes = step.run("plain", x, rows, True)
    for path in exact.model.family.paths:
        found, grads = step.run(path, x, rows, True)
        torch.testing.assert_close(torch.cat(found[0]), torch.cat(wanted[0]), rtol=1e-6, atol=1e-7)
        for slot, grad in grads.items():
            assert slopes[slot].abs().max() > 0
            assert (grad - slopes[slot]).abs().max() <= 1e-5 * slopes[slot].abs().max(), (path, slot)


def test_the_gradient_of_both_pictures_is_the_slope_of_the_loss(exact: HF, pictures) -> None:
    x = {s: exact.pixels(image).double() * 0.9 + 0.05 for s, image in zip(("image", "image2"), pictures, strict=True)}
    prepared = exact.prepare([pairs(*pictures)[:1]], slots=tuple(x))
    with exact.model.pictures.unrounded():
        grads = {slot: grad.double() for slot, grad in exact.loss_and_grad(x, prepared).pixels.items()}
        # Uphill in one picture and downhill in the other: a gradient at the wrong one would show.
        ways = {"image": grads["image"].sign(), "image2": -0.5 * grads["image2"].sign()}

        def at(by: float) -> float:
            moved = {slot: each + by * ways[slot] for slot, each in x.items()}
            return float(exact.loss_and_grad(moved, prepared, need_grad=False).loss)

        wanted = sum(float((grads[slot] * ways[slot]).sum()) for slot in x)
        scale = max(float((grads[slot] * ways[slot]).sum().abs()) for slot in x)
        slopes = ((8 * (at(h) - at(-h)) - at(2 * h) + at(-2 * h)) / (12 * h) for h in reversed(checks.STEPS))
        assert any(abs(slope - wanted) <= 1e-3 * scale for slope in slopes)


def test_a_picture_that_is_no_slot_stays_and_has_the_loss_of_its_pixels(victim: HF, pictures) -> None:
    one, two = pictures
    chats = [pairs(one, two)]
    x = {"image": victim.pixels(one), "image2": victim.pixels(two)}
    both = victim.loss_and_grad(x, victim.prepare(chats, slots=tuple(x)))
    for slot in x:
        alone = victim.loss_and_grad(x[slot], victim.prepare(chats, slots=(slot,)))
        torch.testing.assert_close(alone.loss, both.loss, rtol=1e-5, atol=1e-6)
        assert (alone.pixels - both.pixels[slot]).abs().max() <= 1e-4 * both.pixels[slot].abs().max()
    fixed = victim.loss_and_grad(None, victim.prepare(chats, slots=()), need_grad=False)
    torch.testing.assert_close(fixed.loss, both.loss, rtol=1e-5, atol=1e-6)
    assert fixed.pixels is None
    assert not math.isnan(float(fixed.loss))
