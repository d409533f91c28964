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


# ---------------------------------------------------------------- layers with gradients, changed, and read out


def prepared_of(victim: Tiny, chats: list[Chat]):
    """Two pictures, the first with two pairs."""
    first, second = chats
    pairs = [[(first, "a cat"), (Chat.user(first.images[0], "why so many words?"), "so")], [(second, "a dog")]]
    return torch.cat([victim.pixels(chat.images[0]) for chat in chats]), victim.prepare(pairs), pairs


def test_states_of_prepared_prompts_are_those_of_their_dialogues(victim: Tiny) -> None:
    x, prepared, pairs = prepared_of(victim, [Chat.user(picture(1), "what is it?"), Chat.user(picture(2), "and that?")])
    found, grad = victim.prompt_states(x, prepared, [1, 0])
    wanted = victim.hidden_states([chat for row in pairs for chat, _ in row], [1, 0])
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert grad is None


def test_the_gradient_of_states_is_their_slope(victim: Tiny) -> None:
    x, prepared, _ = prepared_of(victim, [Chat.user(picture(1), "what is it?"), Chat.user(picture(2), "and that?")])
    x = x.clamp(0.02, 0.98)
    along = torch.randn(3, 2, victim.embedding_width, generator=torch.Generator().manual_seed(5))
    states, grad = victim.prompt_states(x, prepared, [0, 1], along=along)
    torch.testing.assert_close(states, victim.prompt_states(x, prepared, [0, 1])[0])
    way = 1e-3 * grad.sign()
    ahead, behind = (victim.prompt_states(x + side * way, prepared, [0, 1])[0] for side in (1, -1))
    torch.testing.assert_close((grad * 2 * way).sum(), ((ahead - behind) * along).sum(), rtol=0.02, atol=1e-4)
    # A picture's gradient is that of its own pairs.
    only = along.clone()
    only[2] = 0
    assert not victim.prompt_states(x, prepared, [0, 1], along=only)[1][1].any()
    by_slot = victim.prompt_states({"image": x}, prepared, [0, 1], along=along)[1]
    torch.testing.assert_close(by_slot["image"], grad)


def test_text_perturbations_move_the_states(victim: Tiny) -> None:
    x, prepared, _ = prepared_of(victim, [Chat.user(picture(1), "what is it?"), Chat.user(picture(2), "and that?")])
    text = [[torch.zeros(n, victim.embedding_width) for n in row] for row in prepared.text_tokens]
    plain, _ = victim.prompt_states(x, prepared, [0])
    torch.testing.assert_close(victim.prompt_states(x, prepared, [0], text=text)[0], plain)
    text[0][0] += 0.5
    moved, _ = victim.prompt_states(x, prepared, [0], text=text)
    assert not torch.allclose(moved[0], plain[0])
    torch.testing.assert_close(moved[1:], plain[1:])


def test_the_last_layer_reads_out_as_the_first_token(victim: Tiny) -> None:
    last = len(victim.model.family.layers) - 1
    found = victim.read_out(victim.hidden_states(CHATS, [last])[:, 0])
    torch.testing.assert_close(found, victim.next_token_logits(CHATS), atol=1e-4, rtol=1e-4)


def test_a_function_changes_the_tokens_that_speak_and_no_other(victim: Tiny) -> None:
    # Greedy decoding under it is the teacher-forced pass under it, token by token; a vector at all tokens is not.
    seen: list[int] = []

    def change(states: torch.Tensor) -> torch.Tensor:
        seen.append(len(states))
        return states + 0.7 * states.flip(-1)

    chats = [Chat.user(picture(1), "what is it?"), Chat.user(picture(1), "and which colour has the roof?")]
    x = torch.cat([victim.pixels(chat.images[0]) for chat in chats])
    with victim.steering({0: change}):
        texts = [reply.text for reply in victim.reply([Ask(chat, Settings(6)) for chat in chats])]
        assert set(seen) == {2}  # one token of each of two rows, prompt or reply
        tokens = victim.model.tokens([Ask(chat, Settings(6)) for chat in chats])
        prepared = victim.model.prepare_tokens(
            [[(victim.model.encode_chat(chat).ids, own)] for chat, own in zip(chats, tokens, strict=True)]
        )
        logits = [row[0].argmax(-1).tolist() for row in victim.target_logits(x, prepared)]
    assert logits == tokens
    assert texts != [reply.text for reply in victim.reply([Ask(chat, Settings(6)) for chat in chats])]


def test_a_direction_gives_the_gradient_of_any_function_of_the_logits(victim: Tiny) -> None:
    # Of the NLL itself: softmax(z) - one-hot, for both kinds of weights.
    x, prepared, _ = prepared_of(victim, [Chat.user(picture(1), "what is it?"), Chat.user(picture(2), "and that?")])
    wanted = victim.loss_and_grad(x, prepared, weighting="sum")
    ways = []
    for row, places in zip(victim.target_logits(x, prepared), prepared.places, strict=True):
        ways.append([])
        for logits, place in zip(row, places, strict=True):
            ids = torch.tensor(place.ids[slice(*place.target)])
            ways[-1].append(logits.softmax(-1) - torch.nn.functional.one_hot(ids, logits.shape[-1]))
    found = victim.loss_and_grad(x, prepared.along(ways), weighting="sum")
    torch.testing.assert_close(found.pixels, wanted.pixels, rtol=1e-3, atol=1e-6)
    with pytest.raises(ValueError, match="directions: expected finite numbers"):
        prepared.along([[way[:1] for way in row] for row in ways])


def test_replies_are_chosen_by_what_is_made_of_both_logits(victim: Tiny) -> None:
    asks = [Ask(chat, Settings(5)) for chat in CHATS]
    beside = [chat.with_system("be brief") for chat in CHATS]
    plain, other = victim.reply(asks), victim.reply([Ask(chat, Settings(5)) for chat in beside])
    first = victim.reply_by(asks, lambda rows, own, second: own, beside)
    assert [reply.text for reply in first] == [reply.text for reply in plain]
    swapped = victim.reply_by(asks, lambda rows, own, second: second, beside)
    assert [reply.text for reply in swapped] == [reply.text for reply in other]
    with pytest.raises(ValueError, match="beside: expected one dialogue for each of 3 asks, found 1"):
        victim.reply_by(asks, lambda rows, own, second: own, beside[:1])
    (bad,) = victim.reply_by(asks[:1], lambda rows, own, second: own * float("nan"))
    assert bad.outcome == "error"
