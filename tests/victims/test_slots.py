"""Two pictures in two turns: optimised together on a shipped victim, and what is said of pixels that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plain_loop import picture
from proofglass.engine import LInf, On, Schedule, SignStep, TargetNLL, minimise
from proofglass.registry import build as plug
from proofglass.types import Chat
from proofglass.victims.hf.model import HFModel
from tiny_models import build

SLOTS = ("image", "image2")
TWO = Chat.user(picture(0), "look").say("ok").ask(picture(1), "what is it")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> HFModel:
    return HFModel(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), "cpu")


def test_two_pictures_in_two_turns_are_optimised_together_and_judged_as_saved() -> None:
    victim = plug("victims", "testbed-linear", device="cpu")
    clean = (picture(0, 96), picture(1, 96))
    chat = Chat.user(clean[0], "look").say("ok").ask(clean[1], "what is it ?")
    x0 = {slot: victim.pixels(image) for slot, image in zip(SLOTS, clean, strict=True)}
    epsilon = {"image": 8 / 255, "image2": 16 / 255}
    found = minimise(
        TargetNLL(victim, [[(chat, "sure , here it is")]], slots=SLOTS),
        x0,
        {slot: On(LInf(epsilon[slot]), SignStep(2 / 255)) for slot in SLOTS},
        schedule=Schedule(12),
        seed=0,
        select="best",
    )
    images = {slot: found.images(slot)[0] for slot in SLOTS}
    for slot, before in zip(SLOTS, clean, strict=True):
        moved = np.abs(images[slot].array().astype(int) - before.array().astype(int)).max()
        assert 2 <= moved <= 255 * epsilon[slot]
    saved = chat.with_images(images)
    fixed = victim.prepare([[(chat, "sure , here it is")], [(saved, "sure , here it is")]], slots=())
    before, after = victim.loss_and_grad(None, fixed, need_grad=False).loss.tolist()
    assert after < before - 0.5
    assert after == pytest.approx(float(found.loss[0]), abs=1e-3)


def test_a_path_that_was_seen_to_agree_on_one_picture_is_seen_again_on_several(model: HFModel) -> None:
    one = [(Chat.user(picture(0), question), "ok") for question in ("what", "why is it")]
    several = [(TWO.with_text("what").with_image(picture(1), "image2"), "ok"), (TWO, "sure")]
    x = {"image": model.pixels(picture(0)), "image2": model.pixels(picture(1))}
    model.loss_and_grad(x["image"], model.prepare([one]))
    assert set(model.step.choice.verdicts) == {("prefix", False)}
    both = model.prepare([[*one, *several]], slots=SLOTS)
    found = model.loss_and_grad(x, both)
    assert set(model.step.choice.verdicts) == {("prefix", False), ("prefix", True)}
    rows = [model.loss_and_grad(x, both.select([[k]])) for k in range(4)]
    torch.testing.assert_close(found.nll[0], torch.cat([row.nll[0] for row in rows]), rtol=1e-5, atol=1e-6)
    assert not rows[0].pixels["image2"].any()  # a chat that does not show it


def test_a_fixed_picture_is_encoded_once_for_all_steps(model: HFModel) -> None:
    x, prepared = model.pixels(picture(2)), model.prepare([[(TWO, "ok")]])
    model.loss_and_grad(x, prepared)
    calls, encode = [], model.family.encode
    model.family.encode = lambda values: calls.append(1) or encode(values)
    try:
        model.loss_and_grad(x, prepared)
    finally:
        model.family.encode = encode
    assert calls == [1]  # the one that is optimised


def test_pixels_that_do_not_fit_their_slots_are_refused(model: HFModel) -> None:
    x = model.pixels(picture(0))
    prepared = model.prepare([[(TWO, "ok")]], slots=SLOTS)
    for pixels, says in (
        (x, r"expected a mapping of slots to tensors, \['image', 'image2'\], found one tensor"),
        ({"image": x}, r"prepared for the slots \['image', 'image2'\], found \['image'\]"),
        ({"image": x, "image2": x[..., :14]}, r"prepared for pictures of height x width \[\(28, 28\)\]"),
        ({"image": x, "image2": x + 1}, r"expected values in \[0, 1\]"),
        ({"image": x, "image2": torch.cat([x, x])}, "as many pictures in each slot"),
        ({"image": torch.cat([x, x]), "image2": torch.cat([x, x])}, "2 pictures for 1 prepared rows"),
    ):
        with pytest.raises(ValueError, match=says):
            model.loss_and_grad(pixels, prepared)
        with pytest.raises(ValueError, match=says):
            model.target_logits(pixels, prepared)
    with pytest.raises(ValueError, match="no chat has a picture for 'image3', found 2 pictures at most"):
        model.prepare([[(TWO, "ok")]], slots=("image3",))


def test_logits_of_several_slots_are_those_of_the_loss(model: HFModel) -> None:
    x = {"image": model.pixels(picture(0)), "image2": model.pixels(picture(1))}
    prepared = model.prepare([[(TWO, "ok")]], slots=SLOTS)
    ((logits,),) = model.target_logits(x, prepared)
    target = torch.tensor(prepared.places[0][0].ids[-len(logits) :])
    nll = torch.nn.functional.cross_entropy(logits, target)
    torch.testing.assert_close(model.loss_and_grad(x, prepared).nll[0, 0], nll, rtol=1e-5, atol=1e-6)
