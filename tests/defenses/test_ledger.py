"""What a stack says it spent is what its models counted, and no more than a plan expects."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from defenses.counting import World, behind_an_api, chats
from proofglass.defenses.inference.dps import DPS
from proofglass.defenses.inference.guard_output import GuardOutput
from proofglass.interfaces import Stack
from proofglass.registry import build
from proofglass.studies.asks import Asks, of_defense
from proofglass.types import Ask, Chat, Reply, Settings

EVERY = behind_an_api()


@settings(max_examples=250, deadline=None)
@given(
    st.lists(st.sampled_from(EVERY), min_size=1, max_size=4),
    st.booleans(),
    st.integers(0, 10**6),
    st.sampled_from(chats()),
)
def test_queries_and_helpers_of_any_stack_are_what_its_models_counted(
    names: Sequence[str], odd: bool, seed: int, chat: Chat
) -> None:
    world = World(seed, odd)
    stack = Stack(tuple(world.member(name, place) for place, name in enumerate(names)))
    expected = of_defense(stack)
    assume(expected.victim <= 500)  # four that ask again and again take minutes
    assert world.asked() == {}  # a plan asks nobody
    ask = Ask(chat, Settings(9, draw=1))
    (reply,) = stack(world.victim).reply([ask])
    assert reply.cost.queries == len(world.victim.asked)
    assert {key: cost.queries for key, cost in reply.helpers.items()} == world.asked()
    assert len(world.victim.asked) <= expected.victim
    assert sum(world.asked().values()) <= expected.helpers
    assert reply.outcome != "error" or (reply.reason and not reply.text)
    assert ask == Ask(chat, Settings(9, draw=1))


@pytest.mark.parametrize("name", EVERY)
def test_each_alone_is_counted_also_where_models_fail(name: str) -> None:
    for seed in range(40):
        for chat in chats():
            world = World(seed, odd=seed % 2 == 1)
            defense = world.member(name, 0)
            expected = of_defense(defense)
            (reply,) = defense(world.victim).reply([Ask(chat)])
            assert reply.cost.queries == len(world.victim.asked) <= expected.victim
            assert {key: cost.queries for key, cost in reply.helpers.items()} == world.asked()
            assert sum(world.asked().values()) <= expected.helpers


def test_the_bound_is_met_and_no_looser_than_it_must_be() -> None:
    for name in EVERY:
        most, expected = Asks(0), Asks(1)
        for seed in range(300):
            world = World(seed)
            defense = world.member(name, 0)
            expected = of_defense(defense)
            defense(world.victim).reply([Ask(chats()[0])])
            most = Asks(max(most.victim, len(world.victim.asked)), max(most.helpers, sum(world.asked().values())))
            if most == expected:
                break
        if name == "ocr-guard":  # no text is drawn in this picture
            most = Asks(most.victim, 1)
        assert most == expected, name


def test_the_ledger_of_a_batch_is_that_of_its_samples() -> None:
    for seed in range(20):
        world = World(seed, odd=True)
        stack = Stack((world.member("smooth-vlm", 0), world.member("ecso", 1), world.member("guard-output", 2)))
        replies = stack(world.victim).reply([Ask(chat) for chat in chats()])
        assert sum(reply.cost.queries for reply in replies) == len(world.victim.asked)
        for key, count in world.asked().items():
            assert sum(reply.helpers[key].queries for reply in replies if key in reply.helpers) == count


def test_a_stack_is_planned_as_its_members_multiplied() -> None:
    guard = World(0).guard("guard")
    wall = GuardOutput(guard)
    assert of_defense(Stack((build("defenses", "ecso"), wall))) == Asks(4, 4)
    assert of_defense(Stack((wall, build("defenses", "ecso")))) == Asks(4, 1)
    two = Stack((build("defenses", "smooth-vlm"), Stack((build("defenses", "self-moderation"), DPS()))))
    assert of_defense(two) == Asks(10 * 7 * 9)
    assert of_defense(Stack()) == Asks(1)


@pytest.mark.parametrize("name", EVERY)
def test_off_it_takes_one_ask(name: str) -> None:
    from conformance.fixtures import ALWAYS_ON, DISABLED

    if name not in ALWAYS_ON:
        assert of_defense(build("defenses", name, **DISABLED[name])) == Asks(1)


@pytest.mark.parametrize("name", EVERY)
def test_what_is_drawn_at_random_moves_no_other_generator_and_none_moves_it(name: str) -> None:
    import random

    import numpy as np
    import torch

    found = []
    for seed in (0, 1):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        world = World(3)
        replies = world.member(name, 0)(world.victim).reply([Ask(chat, Settings(9, draw=2)) for chat in chats()])
        assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
        found.append(([ask.chat for ask in world.victim.asked], replies))
    assert found[0] == found[1]
    assert all(isinstance(reply, Reply) for reply in found[0][1])
