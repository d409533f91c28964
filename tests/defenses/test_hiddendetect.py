"""HiddenDetect: the area, the choice of layers and words, the threshold, the block, and what an attacker sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from defenses.layered import Written, crafting, judged, victim_of
from proofglass import Stack
from proofglass.defenses.inference.hiddendetect import HiddenDetect, area, chosen_by, first_tokens, refusal_in
from proofglass.defenses.inference.inferaligner import InferAligner
from proofglass.defenses.inference.self_moderation import SelfModeration
from proofglass.engine import TargetNLL
from proofglass.errors import UsageError
from proofglass.interfaces import WhiteBoxVictim
from proofglass.types import Ask, Settings

SIX = Settings(max_new_tokens=6)


@pytest.fixture(scope="module")
def linear() -> WhiteBoxVictim:
    return victim_of()


@pytest.fixture(scope="module")
def fitted(linear: WhiteBoxVictim, tmp_path_factory: pytest.TempPathFactory) -> HiddenDetect:
    folder = tmp_path_factory.mktemp("found")
    return HiddenDetect.fit(
        linear, crafting("restricted-image"), crafting("benign-image"), folder=folder, layers=(1, 2)
    )


def test_the_area_is_the_trapezoid_rule_with_points_one_apart() -> None:
    # (0 + .1)/2 + (.1 + .3)/2 + (.3 + .2)/2 = .05 + .2 + .25
    torch.testing.assert_close(area(torch.tensor([[0.0, 0.1, 0.3, 0.2]])), torch.tensor([0.5]))
    torch.testing.assert_close(area(torch.tensor([[0.7]])), torch.tensor([0.7]))


def test_layers_are_those_that_differ_more_than_the_last() -> None:
    assert chosen_by([0.1, 0.5, 0.3, 0.2]) == (1, 2)
    assert chosen_by([0.1, 0.15, 0.2]) == (1,)  # none: the best before the last
    assert chosen_by([0.3]) == (0,)


def test_the_cosine_is_that_of_the_logits_with_a_one_hot_of_the_words(linear: WhiteBoxVictim) -> None:
    # At the last layer the state read out is the first token's logits themselves.
    chats = [sample.chat for sample in judged("restricted-image", 2)]
    words = list(first_tokens(linear, ("sorry", "can", "not")).values())
    found = refusal_in(linear, linear.hidden_states(chats), words)
    logits = linear.next_token_logits(chats)
    hot = torch.zeros(logits.shape[-1])
    hot[words] = 1
    torch.testing.assert_close(found[:, -1], torch.nn.functional.cosine_similarity(logits, hot[None]))


def test_layers_that_are_not_there_are_refused(linear: WhiteBoxVictim, fitted: HiddenDetect, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"layers: expected 0 to 3, found \[4\]"):
        HiddenDetect.fit(linear, crafting("benign", 2), crafting("vqa", 2), folder=tmp_path, layers=(1, 4))
    with pytest.raises(UsageError, match=r"layers: expected 0 to 3, found \[9\]"):
        replace(fitted, layers=(9,))(linear)


def test_words_that_the_model_cannot_write_are_left_out(linear: WhiteBoxVictim) -> None:
    found = first_tokens(linear, ("sorry", "Sorry", "\U0001f600", "zyxwv"))
    assert list(found) == ["sorry"]
    with pytest.raises(ValueError, match="can write none of"):
        first_tokens(linear, ("\U0001f600", ""))


def test_the_threshold_lets_a_share_of_the_safe_be_blocked(linear: WhiteBoxVictim, fitted: HiddenDetect) -> None:
    gate, safe = fitted.gate(linear), [sample.chat for sample in crafting("benign-image")]
    margins = gate.margins(linear, linear.hidden_states(safe, gate.layers))
    assert int((margins > 0).sum()) == 1  # .05 of 12, between the two highest


def test_a_block_is_the_refusal_and_no_call(linear: WhiteBoxVictim, fitted: HiddenDetect) -> None:
    asks = [Ask(sample.chat, SIX) for part in ("restricted-image", "benign-image") for sample in judged(part, 4)]
    replies, plainly = fitted(linear).reply(asks), linear.reply(asks)
    blocked = [reply for reply in replies if reply.outcome == "blocked"]
    assert 0 < len(blocked) < len(asks)
    for reply, bare in zip(replies, plainly, strict=True):
        (decision,) = reply.decisions
        assert decision.fired == (reply.outcome == "blocked") == ((decision.margin or 0) > 0)
        assert reply.text == (fitted.refusal if decision.fired else bare.text)
        assert reply.cost.queries == (0 if decision.fired else 1)
    never = replace(fitted, threshold=1e6)(linear).reply(asks)
    assert [reply.text for reply in never] == [reply.text for reply in plainly]
    twice = SelfModeration(1)(fitted(linear)).reply(asks)  # what stands before it asks no more of a block
    assert [reply.outcome for reply in twice].count("blocked") >= len(blocked)


def test_the_margin_is_differentiable_and_a_descent_pays_for_it(linear: WhiteBoxVictim, fitted: HiddenDetect) -> None:
    view, (sample,) = fitted.opened(linear), judged("restricted-image", 1)
    x = linear.pixels(sample.chat.images[0]).clamp(0.02, 0.98)
    margin, grad = view.margin_and_grad(x, [sample.chat])
    way = 2e-3 * grad.sign()
    ahead, behind = (view.margin_and_grad(x + side * way, [sample.chat])[0] for side in (1, -1))
    torch.testing.assert_close((grad * 2 * way).sum((1, 2, 3)), ahead - behind, rtol=0.05, atol=1e-5)
    pairs = [[(sample.chat, sample.target)]]
    seen, bare = TargetNLL(view, pairs)(x, 0), TargetNLL(linear, pairs)(x, 0)
    over = (margin + 0.05).clamp(min=0)
    torch.testing.assert_close(seen.loss, bare.loss + 10 * over / (over + 0.05))


def test_it_stands_before_what_steers(linear: WhiteBoxVictim, fitted: HiddenDetect, tmp_path: Path) -> None:
    steered = InferAligner.fit(linear, crafting("restricted-image"), crafting("benign-image"), folder=tmp_path)
    asks = [Ask(sample.chat, SIX) for sample in judged("restricted-image", 2)]
    for stack in (Stack((fitted, steered)), Stack((steered, fitted))):
        for reply in stack(linear).reply(asks):
            assert {decision.defense for decision in reply.decisions} >= {"hiddendetect"}
        assert stack.opened(linear) is not None


def test_what_was_found_in_another_model_is_refused(fitted: HiddenDetect) -> None:
    with pytest.raises(UsageError, match="fitted on 'testbed-linear'"):
        fitted(victim_of("testbed-cross"))
    closed = type("Closed", (Written,), {"prompt_states": WhiteBoxVictim.prompt_states})
    with pytest.raises(UsageError, match=r"needs the model's layers, .* overrides no prompt_states, read_out"):
        fitted(closed({}))
