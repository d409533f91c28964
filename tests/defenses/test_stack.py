"""Defenses as one: the same victim as by hand, and open only if all are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from defenses.test_inference_defenses import CHAT, Echo, Scripted
from proofglass import Stack
from proofglass.defenses.inference.none import NoDefense
from proofglass.defenses.inference.self_moderation import SelfModeration
from proofglass.defenses.inference.system_prompt import SystemPrompt
from proofglass.flow import drive
from proofglass.interfaces import Defense, innermost, opened_through
from proofglass.types import Ask
from proofglass.victims.own import OwnModule
from strangers.random_resize import RandomResize
from toy_module import Toy

A, B, ROUNDS = SystemPrompt("a", "append"), SystemPrompt("b", "append"), SelfModeration(2)


@pytest.mark.parametrize("members", [(), (A,), (A, B), (B, A), (ROUNDS, A), (A, ROUNDS), (A, NoDefense(), B)])
def test_a_stack_is_its_members_around_each_other(members: Sequence[Defense]) -> None:
    by_hand = Echo()
    for member in reversed(members):
        by_hand = member(by_hand)
    stacked = Stack(tuple(members))(Echo())
    assert stacked.reply([Ask(CHAT)]) == by_hand.reply([Ask(CHAT)])
    assert stacked.key == by_hand.key
    assert isinstance(innermost(stacked), Echo)


@pytest.mark.parametrize("members", [(), (A, B), (ROUNDS, A), (A, ROUNDS), (A, Stack((ROUNDS, B)))])
def test_its_dialogue_asks_what_the_defended_victim_asks(members: Sequence[Defense]) -> None:
    stack, lines = Stack(tuple(members)), ("A0", "A1", "no", "A2", "yes", "?", "?")
    one, other = Scripted(*lines), Scripted(*lines)
    (end,) = drive([stack.flow(Ask(CHAT))], one.reply)
    (reply,) = stack(other).reply([Ask(CHAT)])
    assert end.value is not None
    assert end.value.text == reply.text
    assert one.asks == other.asks


def test_the_first_member_is_the_outermost() -> None:
    (reply,) = Stack((A, B))(Echo()).reply([Ask(CHAT)])
    assert reply.text.startswith("a\nb|")


def test_a_stack_is_open_if_all_its_members_are() -> None:
    toy = OwnModule(Toy())
    assert opened_through(Stack((A, ROUNDS)), toy) is None
    assert opened_through(Stack(), toy) is toy
    view = opened_through(Stack((A, RandomResize(), B)), toy)
    assert view is not None
    asks = [Ask(CHAT.with_image(CHAT.images[0]))]
    assert view.reply(asks) == Stack((A, RandomResize(), B))(toy).reply(asks)
    pairs = [[(CHAT, "so")]]
    both = opened_through(Stack((A, B)), toy)
    assert both is not None
    x = torch.full((1, 3, 12, 8), 0.5)
    by_hand = toy.loss_and_grad(x, toy.prepare([[(CHAT.with_system("a\nb"), "so")]]))
    assert torch.equal(both.loss_and_grad(x, both.prepare(pairs)).pixels, by_hand.pixels)


def test_its_key_holds_its_members_and_their_order() -> None:
    stacks = [Stack(), Stack((A,)), Stack((A, B)), Stack((B, A))]
    assert len({stack.key for stack in stacks}) == len(stacks)


def test_what_is_no_defense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"members: expected a list, each a Defense, found .*system-prompt"):
        Stack(("system-prompt",))  # type: ignore[arg-type]
