"""ASTRA: the formula, the identity at and behind the reference, every step of a reply, gradients through it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from defenses.layered import crafting, judged, victim_of
from proofglass.defenses.inference.astra import Astra, turned
from proofglass.errors import UsageError
from proofglass.interfaces import WhiteBoxVictim, opened_through
from proofglass.types import Ask, Settings

TEN = Settings(max_new_tokens=10)


def test_what_leads_towards_v_is_taken_away_by_its_cosine() -> None:
    # h = (3, 4), h_ref = 0, v = (2, 0): cos = .6, |h| = 5, alpha .5: (3 - .5 . 5 . .6, 4)
    found = turned(torch.tensor([[3.0, 4.0]]), torch.tensor([2.0, 0.0]), torch.zeros(2), 0.5)
    torch.testing.assert_close(found, torch.tensor([[1.5, 4.0]]))


numbers = st.lists(st.floats(-9, 9, width=32), min_size=3, max_size=3)


@given(numbers, numbers, st.floats(0, 20))
def test_it_is_the_identity_at_and_behind_the_reference(reference: list[float], v: list[float], far: float) -> None:
    at, way = torch.tensor(reference), torch.tensor(v) + torch.tensor([0.0, 0.0, 20.0])
    for state in (at, at - far * way / way.norm()):
        moved = turned(state[None], way, at, 7.0)[0]
        near = torch.nn.functional.cosine_similarity(state - at, way, dim=0)
        if near <= 0:  # what rounds to a hair in front is no state behind it
            assert torch.equal(moved, state)


@pytest.fixture(scope="module")
def linear() -> WhiteBoxVictim:
    return victim_of()


@pytest.fixture(scope="module")
def fitted(linear: WhiteBoxVictim, tmp_path_factory: pytest.TempPathFactory) -> Astra:
    # Stand-ins: any two kinds of dialogues have a direction between them.
    found = Astra.fit(
        linear, crafting("benign-image"), crafting("restricted-image"), folder=tmp_path_factory.mktemp("v")
    )
    return replace(found, alpha=1.0)


def test_without_strength_it_is_the_identity_token_for_token(linear: WhiteBoxVictim, fitted: Astra) -> None:
    asks = [Ask(sample.chat, TEN) for sample in judged("benign-image", 3)]
    assert replace(fitted, alpha=0.0)(linear).reply(asks) == linear.reply(asks)


def test_every_step_of_a_reply_is_turned_as_by_hand(linear: WhiteBoxVictim, fitted: Astra) -> None:
    # The tokens of its greedy reply are the likeliest at every place of a teacher-forced pass through it; without the
    # turn at the tokens of the reply they are not all.
    asks = [Ask(sample.chat, TEN) for sample in judged("benign-image", 3)]
    defended, view = fitted(linear), fitted.opened(linear)
    replies = defended.reply(asks)
    assert [r.text for r in replies] != [r.text for r in linear.reply(asks)]
    pairs = [[(ask.chat, reply.text)] for ask, reply in zip(asks, replies, strict=True)]
    prepared = view.prepare(pairs)
    x = torch.cat([linear.pixels(ask.chat.images[0]) for ask in asks])
    for row, places in zip(view.target_logits(x, prepared), prepared.places, strict=True):
        said = places[0].ids[slice(*places[0].target)]
        assert row[0].argmax(-1).tolist() == list(said)


def test_in_a_batch_and_alone_it_turns_alike(linear: WhiteBoxVictim, fitted: Astra) -> None:
    chats = [sample.chat for part in ("benign-image", "benign", "restricted-image") for sample in judged(part, 2)]
    together = fitted(linear).reply([Ask(chat, TEN) for chat in chats])
    alone = [fitted(linear).reply([Ask(chat, TEN)])[0] for chat in chats]
    assert [r.text for r in together] == [r.text for r in alone]
    states = fitted.opened(linear).hidden_states(chats)
    for chat, row in zip(chats, states, strict=True):
        torch.testing.assert_close(fitted.opened(linear).hidden_states([chat])[0], row, rtol=1e-3, atol=1e-3)


def test_only_the_tokens_that_speak_are_turned(linear: WhiteBoxVictim, fitted: Astra) -> None:
    # The layer before is untouched, its own state of the last token is the formula's.
    chat, layer = judged("benign-image", 1)[0].chat, 2
    plain, seen = linear.hidden_states([chat])[0], fitted.opened(linear).hidden_states([chat])[0]
    torch.testing.assert_close(seen[:layer], plain[:layer])
    (change,) = fitted.steering(linear).values()
    torch.testing.assert_close(seen[layer], change(plain[layer][None])[0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["testbed-linear", "testbed-queries", "testbed-cross"])
def test_losses_and_gradients_are_the_same_along_every_path(name: str, tmp_path: Path) -> None:
    model = victim_of(name)
    defense = Astra.fit(model, crafting("benign-image", 4), crafting("restricted-image", 4), folder=tmp_path)
    view = opened_through(replace(defense, alpha=0.5), model)
    assert view is not None
    one, other = judged("restricted-image", 2)
    pairs = [
        (one.chat, one.target),
        (one.chat, other.target),
        (other.chat.with_image(one.chat.images[0]), other.target),
    ]
    x = model.pixels(one.chat.images[0]).clamp(0.02, 0.98)
    found = view.loss_and_grad(x, view.prepare([pairs]), weighting="sum")
    alone = [view.loss_and_grad(x, view.prepare([[pair]]), weighting="sum") for pair in pairs]
    torch.testing.assert_close(found.loss, torch.stack([each.loss for each in alone]).sum(0), rtol=1e-3, atol=1e-3)
    total = torch.stack([each.pixels for each in alone]).sum(0)
    assert float((found.pixels - total).abs().max()) <= 1e-3 * float(total.abs().max())


def test_what_was_fitted_on_another_model_is_refused(fitted: Astra, linear: WhiteBoxVictim) -> None:
    with pytest.raises(UsageError, match="fitted on 'testbed-linear'"):
        fitted(victim_of("testbed-cross"))
    with pytest.raises(UsageError, match="layer: expected 0 to 3, found 4"):
        replace(fitted, layer=4)(linear)
    with pytest.raises(ValueError, match="both look alike"):
        Astra.fit(linear, crafting("benign", 2), crafting("benign", 2), folder=fitted.vectors)
