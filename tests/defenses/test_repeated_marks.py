"""Token searches through a defense that says the question twice: candidates stand in both places, and so does their
gradient."""

from __future__ import annotations

import pytest
import torch

from proofglass.defenses.inference.adashield import AdaShieldStatic
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.interfaces import WhiteBoxVictim
from proofglass.registry import build
from proofglass.testing.opened import is_the_slope
from proofglass.types import Sample

MARK = "kite drum"
TWICE = AdaShieldStatic("look at the picture .", separator=" ")


@pytest.fixture(scope="module")
def model() -> WhiteBoxVictim:
    victim: WhiteBoxVictim = build("victims", "testbed-linear", device="cpu")
    return victim


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [row for row in TestbedData(part="restricted-image", n=2) if isinstance(row, Sample)]


def suffixed(sample: Sample, text: str) -> list[tuple[object, str]]:
    return [(sample.chat.with_text(f"{sample.chat.last_text} {text}"), sample.target)]


def test_candidates_are_put_into_both_places_as_their_text_would_be(
    model: WhiteBoxVictim, samples: list[Sample]
) -> None:
    view, (sample, _) = TWICE.opened(model), samples
    prepared = view.prepare([suffixed(sample, MARK)], slots=(), mark=MARK)
    places = prepared.places[0][0]
    said = [model.decode(places.ids[first:last]).strip() for first, last in places.marks]
    assert said == [MARK, MARK]
    texts = ("broom broom", "sure , here", "fly")
    losses = view.losses_of(None, prepared, [[model.encode(text) for text in texts]])[0]
    for loss, text in zip(losses, texts, strict=True):
        written = view.prepare([suffixed(sample, text)], slots=())
        filled = prepared.filled([model.encode(text)])
        assert filled.places[0][0].ids == written.places[0][0].ids
        torch.testing.assert_close(
            loss, view.loss_and_grad(None, written, need_grad=False).loss[0], rtol=1e-3, atol=1e-4
        )
    assert losses.std() > 0


def test_the_gradient_of_a_mark_is_the_sum_over_its_places(model: WhiteBoxVictim, samples: list[Sample]) -> None:
    view, (sample, _) = TWICE.opened(model), samples
    prepared = view.prepare([suffixed(sample, MARK)], slots=(), mark=MARK)
    (places,), loss = prepared.places[0], view.mark_gradient(None, prepared)
    taken = {k for first, last in places.pictures for k in range(first, last)}
    text = [k for k in range(places.target[0]) if k not in taken]

    def at(change: torch.Tensor) -> torch.Tensor:
        whole = torch.zeros(len(text), model.embedding_width)
        for first, last in places.marks:
            whole[[text.index(k) for k in range(first, last)]] += change[0]
        return view.loss_and_grad(None, prepared, need_grad=False, text=[[whole]]).loss

    grad = loss[1][0]
    assert len(places.marks) == 2
    is_the_slope(at, torch.zeros(1, *grad.shape), grad[None], "the loss")


def test_gcg_through_it_finds_a_text_that_lowers_the_loss_of_the_dialogue_that_reaches_the_model(
    model: WhiteBoxVictim, samples: list[Sample]
) -> None:
    view, attack = TWICE.opened(model), build("attacks", "gcg", steps=3, candidates=16, top=16, tokens=4, check_every=0)
    made = list(attack.craft(view, samples, seed=1))
    for found, sample in zip(made, samples, strict=True):
        assert "failed" not in found.meta, found.meta
        chat = TWICE.placed(attack.apply(found, sample))
        assert chat.last_text.count(found.texts[0].strip()) == 2
        loss = model.loss_and_grad(None, model.prepare([[(chat, sample.target)]], slots=()), need_grad=False).loss
        assert float(loss) == pytest.approx(found.trace["loss_best"], rel=1e-3)
        assert found.trace["loss_best"] < found.trace["loss"][0]
        assert found.crafted_on == view.key


def test_a_shield_alone_leaves_the_mark_one_place(model: WhiteBoxVictim, samples: list[Sample]) -> None:
    view = AdaShieldStatic("look at the picture .", layout="query shield", separator=" ").opened(model)
    assert len(view.prepare([suffixed(samples[0], MARK)], slots=(), mark=MARK).places[0][0].marks) == 1
