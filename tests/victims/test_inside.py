"""Layers read and steered, first-token logits, features with gradient: against plain transformers with hooks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from proofglass.errors import ClosedVictim
from proofglass.interfaces import WhiteBoxVictim
from proofglass.types import Ask, Chat, Image, Settings
from proofglass.victims.hf.checks import official_inputs
from proofglass.victims.hf.victim import HFVictim

from .families import tiny_llava


@dataclass(frozen=True)
class Tiny(HFVictim):
    path: Path
    batch: int = 2
    name = "tiny"

    @property
    def folder(self) -> Path:
        return self.path


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny") / "llava"
    tiny_llava.build(folder)
    return Tiny(folder)


def picture(seed: int) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8))


CHATS = [
    Chat.user(picture(1), "what is it?"),
    Chat.user(picture(1), "and which colour has the roof?"),
    Chat.user("no picture"),
]


def plain(victim: Tiny, chat: Chat, **more):
    model = victim.model
    return model.model(**official_inputs(model, chat), use_cache=False, **more)


def test_first_token_logits_are_those_of_transformers(victim: Tiny) -> None:
    wanted = torch.stack([plain(victim, chat).logits[0, -1] for chat in CHATS])
    torch.testing.assert_close(victim.next_token_logits(CHATS), wanted, atol=1e-4, rtol=1e-4)


def test_a_reply_tells_the_chances_of_the_choices_that_were_asked_for(victim: Tiny) -> None:
    choices = ("yes", "no")
    plainly, told = (victim.reply([Ask(chat, Settings(3, choices=some)) for chat in CHATS]) for some in ((), choices))
    first = [victim.encode(choice)[0] for choice in choices]
    wanted = victim.next_token_logits(CHATS).softmax(-1)[:, first].tolist()
    for reply, before, chances in zip(told, plainly, wanted, strict=True):
        assert reply.text == before.text
        assert before.choices == {}
        assert reply.choices == pytest.approx(dict(zip(choices, chances, strict=True)), rel=1e-4)
        assert reply.cost.forward == before.cost.forward + 1


def test_choices_that_begin_with_one_token_are_not_told(victim: Tiny) -> None:
    choices = ("yes", "yes no", "no")
    (reply,) = victim.reply([Ask(CHATS[0], Settings(3, choices=choices))])
    assert victim.encode("yes")[0] == victim.encode("yes no")[0]
    assert set(reply.choices) == {"no"}


def test_settings_without_choices_are_told_as_before_there_were_any() -> None:
    assert "choices" not in Settings(3).told()
    assert Settings(3, choices=("a", "b")).told()["choices"] == ("a", "b")
    with pytest.raises(ValueError, match="choices: expected different texts"):
        Settings(choices=("a", "a"))


def test_hidden_states_are_those_of_transformers(victim: Tiny) -> None:
    found = victim.hidden_states(CHATS)
    assert found.shape == (3, 2, 32)
    for chat, states in zip(CHATS, found, strict=True):
        every = plain(victim, chat, output_hidden_states=True).hidden_states
        torch.testing.assert_close(states[0], every[1][0, -1], atol=1e-4, rtol=1e-4)  # [2] comes after the last norm
    torch.testing.assert_close(victim.hidden_states(CHATS, [1])[:, 0], found[:, 1])


def test_steering_moves_replies_losses_and_gradients_and_leaves_no_trace(victim: Tiny) -> None:
    x, prepared = victim.pixels(picture(1)), victim.prepare([[(CHATS[0], "a cat"), (CHATS[1], "red")]])
    asks = [Ask(chat, Settings(max_new_tokens=6)) for chat in CHATS]
    loss, said, states = victim.loss_and_grad(x, prepared), victim.reply(asks), victim.hidden_states(CHATS)
    vector = torch.randn(32, generator=torch.Generator().manual_seed(0))
    with victim.steering({0: vector}):
        moved = victim.loss_and_grad(x, prepared)
        torch.testing.assert_close(victim.hidden_states(CHATS, [0]), states[:, :1] + vector, atol=1e-4, rtol=1e-4)
        wanted = plain(victim, CHATS[0]).logits[0, -1]  # the hook is on the model itself
        torch.testing.assert_close(victim.next_token_logits(CHATS[:1])[0], wanted, atol=1e-4, rtol=1e-4)
        assert victim.reply(asks) != said
    assert (moved.nll - loss.nll).abs().min() > 1e-3
    assert (moved.pixels - loss.pixels).abs().max() > 1e-3 * loss.pixels.abs().max()
    after = victim.loss_and_grad(x, prepared)
    torch.testing.assert_close(after.nll, loss.nll)
    torch.testing.assert_close(after.pixels, loss.pixels)
    assert victim.reply(asks) == said


def test_steering_with_zeros_changes_nothing(victim: Tiny) -> None:
    x, prepared = victim.pixels(picture(1)), victim.prepare([[(CHATS[0], "a cat"), (CHATS[1], "red")]])
    loss = victim.loss_and_grad(x, prepared)
    with victim.steering({1: torch.zeros(32)}):
        torch.testing.assert_close(victim.loss_and_grad(x, prepared).pixels, loss.pixels)


@pytest.mark.parametrize(("vectors", "says"), [({2: torch.zeros(32)}, "0 to 1"), ({0: torch.zeros(5)}, r"\[32\]")])
def test_steering_says_what_is_wrong(victim: Tiny, vectors, says: str) -> None:
    with pytest.raises(ValueError, match=says), victim.steering(vectors):
        pass


def test_features_and_grad_is_autograd_through_the_tower(victim: Tiny) -> None:
    x = torch.cat([victim.pixels(picture(k)) for k in (1, 2)])
    goal = victim.features(x[:1]).detach()
    values, grad = victim.features_and_grad(x, lambda found: (found - goal).square().sum(-1))
    assert float(values[0]) == 0
    assert float(grad[0].abs().max()) == 0
    leaf = x[1:].clone().requires_grad_()
    (victim.features(leaf) - goal).square().sum().backward()
    torch.testing.assert_close(grad[1:], leaf.grad)
    with pytest.raises(ValueError, match=r"one value per picture, \[2\]"):
        victim.features_and_grad(x, lambda found: found.sum())


def test_a_victim_that_opens_none_of_it_says_so(victim: Tiny) -> None:
    closed = {"pixels", "prepare", "loss_and_grad", "reply"}
    kind = type("Closed", (WhiteBoxVictim,), {name: getattr(HFVictim, name) for name in closed} | {"name": "closed"})
    for ask in (lambda v: v.next_token_logits([]), lambda v: v.hidden_states([]), lambda v: v.steering({})):
        with pytest.raises(ClosedVictim, match="closed"):
            ask(kind())
