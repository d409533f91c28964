"""A model seen through a defense: what reaches it, what comes back, and that no port is forgotten."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from defenses.opened_parts import CHAT, PAIRS, PICTURE, SYSTEM, Dimmed, some_pixels
from proofglass import Lens, Opened, Stack
from proofglass.defenses.inference.none import NoDefense
from proofglass.defenses.inference.self_moderation import SelfModeration
from proofglass.defenses.inference.system_prompt import SystemPrompt
from proofglass.engine.seeds import drawing
from proofglass.interfaces import Defense, Victim, WhiteBoxVictim, innermost, opened_through
from proofglass.types import Ask, Chat, Image, Layout, Settings
from proofglass.victims.hf_folder import HF
from proofglass.victims.own import OwnModule
from shapes import unheld
from strangers.random_resize import RandomResize
from tiny_models import build as tiny
from toy_module import Toy


@pytest.fixture
def toy() -> OwnModule:
    return OwnModule(Toy())


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> HF:
    return HF(tiny("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


# ---------------------------------------------------------------- no port is forgotten


def ports() -> list[str]:
    """All that a white-box victim shows beyond what every plug does."""
    return [n for cls in (Victim, WhiteBoxVictim) for n in (*vars(cls), *cls.__annotations__) if not n.startswith("_")]


DERIVED = {"passes"}  # from `draws`
STATED = {"layout", "image_size", "sees_images", "world", "draws", "gated"}


def test_every_port_of_a_white_box_victim_is_forwarded_or_hooked() -> None:
    # Inherited, a port would raise "closed", or answer about the model as if no defense stood there.
    for name in set(ports()) - STATED - DERIVED:
        assert name in vars(Opened), f"Opened forgets {name}: forward it, or say what the lens does to it"
        port, own = getattr(WhiteBoxVictim, name), getattr(Opened, name)
        if callable(port):
            takes = [list(inspect.signature(each).parameters.items()) for each in (port, own)]
            asked = [[(n, p.kind, p.default) for n, p in each] for each in takes]
            assert asked[0] == asked[1], f"Opened.{name} takes other arguments"


@dataclass(frozen=True)
class Talking(WhiteBoxVictim):
    """Returns the name of each port, and notes what it was called with."""

    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    name = "talking"
    layout, image_size, sees_images, world, draws = Layout(wrap=7), (3, 4), False, "the Vale", 5
    gated = True
    context_window, normalisation, embedding_width = 77, "normalisation", "width"  # type: ignore[assignment]
    key = "talking"

    def _say(name: str) -> Callable[..., Any]:  # type: ignore[misc]
        def say(self: Talking, *given: Any, **named: Any) -> Any:
            self.calls.append((name, given, named))
            return name

        return say

    reply, look_ahead, fidelity, card = _say("reply"), _say("look_ahead"), _say("fidelity"), _say("card")
    pixels, prepare, loss_and_grad = _say("pixels"), _say("prepare"), _say("loss_and_grad")
    target_logits, features, features_and_grad = (
        _say("target_logits"), _say("features"), _say("features_and_grad"),
    )  # fmt: skip
    next_token_logits, hidden_states, steering = _say("logits"), _say("hidden"), _say("steering")
    prompt_states, read_out, reply_by = _say("prompt states"), _say("read out"), _say("reply by")
    embeddings, encode, decode, writable = _say("embeddings"), _say("encode"), _say("decode"), _say("writable")
    losses_of, reads_back = _say("losses_of"), _say("reads_back")
    gradient_path, learner, tower_learner = _say("plain"), _say("learner"), _say("tower")

    def tuned(self, folder: Path) -> Talking:
        return Talking()


def test_a_lens_that_changes_nothing_hands_everything_on() -> None:
    x, model = some_pixels(), Talking()
    view = Opened(model, NoDefense())
    calls: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "look_ahead": ((PICTURE,), {}),
        "fidelity": (([],), {}),
        "card": ((), {}),
        "pixels": ((PICTURE,), {}),
        "prepare": ((PAIRS,), {"append_eos": True, "slots": ("image", "image2"), "mark": "!"}),
        "loss_and_grad": ((x, "prepared"), {"weighting": "sum", "need_grad": False, "text": [[x]]}),
        "target_logits": ((x, "prepared"), {}),
        "features": ((x, "patches"), {}),
        "features_and_grad": ((x, sum, "patches"), {}),
        "next_token_logits": (([CHAT],), {}),
        "hidden_states": (([CHAT], [1]), {}),
        "steering": (({1: x},), {}),
        "read_out": ((x,), {}),
        "embeddings": ((), {}),
        "encode": (("text",), {}),
        "decode": (([1, 2],), {}),
        "writable": ((), {}),
        "reads_back": (([[1, 2]],), {}),
        "losses_of": ((x, "prepared", [[[1]]]), {"weighting": "sum"}),
        "learner": ((4, 8.0, 0), {}),
        "tower_learner": ((), {}),
    }
    values = {"embedding_width", "normalisation", "context_window", "inside", "gradient_path"} | STATED
    asked_elsewhere = {"reply", "reply_by", "in_run", "margin_and_grad", "mark_gradient", "prompt_states", "tuned"}
    assert set(calls) | values | asked_elsewhere | DERIVED == set(ports()), "a new port: call it here too"
    for name, (given, named) in calls.items():
        model.calls.clear()
        with unheld():  # it says words
            answer, expected = (getattr(victim, name)(*given, **named) for victim in (view, model))
        (_, took, by_name), _ = model.calls
        assert (took, by_name) == (given, named), name
        assert name == "look_ahead" or answer == expected, name
    with unheld():
        for name in (STATED | values) - {"inside", "gradient_path"}:
            assert getattr(view, name) == getattr(model, name), name
    assert view.inside is model
    assert view.in_run(Path(), "run").model == model


def test_its_name_key_and_innermost_say_what_it_is(toy: OwnModule) -> None:
    view = opened_through(SYSTEM, toy)
    assert view is not None
    assert innermost(view) is toy
    assert "system-prompt" in view.name
    assert view.gradient_path() == f"{toy.gradient_path()}; through system-prompt"
    assert Dimmed().opened(toy).gradient_path().endswith("through dimmed (3 draws)")
    others = [toy, view, opened_through(SystemPrompt("be kind"), toy), Dimmed().opened(toy), Dimmed(0.6).opened(toy)]
    assert len({other.key for other in others if other}) == len(others)
    assert view.key == SYSTEM.opened(OwnModule(Toy())).key
    view.reply([Ask(CHAT, Settings(3))])
    assert view.key == SYSTEM.opened(toy).key


@pytest.mark.parametrize("defense", [SelfModeration(), Defense()])
def test_a_defense_stays_closed_unless_it_opens_itself(defense: Defense, toy: OwnModule) -> None:
    assert opened_through(defense, toy) is None


def test_what_gives_replies_only_cannot_be_looked_into() -> None:
    class Closed(Victim):
        name = "closed"

        def reply(self, asks: Any) -> Any:
            return []

    assert opened_through(SYSTEM, Closed()) is None
    assert opened_through(NoDefense(), OwnModule(Toy())) is not None


# ---------------------------------------------------------------- the dialogue


def test_losses_and_logits_are_of_the_dialogue_that_reaches_the_model(toy: OwnModule) -> None:
    x = some_pixels()
    by_hand = [[(chat.with_system("be careful"), target) for chat, target in row] for row in PAIRS]
    view = SYSTEM.opened(toy)
    found, expected = view.loss_and_grad(x, view.prepare(PAIRS)), toy.loss_and_grad(x, toy.prepare(by_hand))
    bare = toy.loss_and_grad(x, toy.prepare(PAIRS))
    assert torch.equal(found.nll.nan_to_num(), expected.nll.nan_to_num())
    assert torch.equal(found.pixels, expected.pixels)
    assert not torch.allclose(found.loss, bare.loss)
    asked = [chat for (chat, _), *_ in PAIRS]
    shown = [chat.with_system("be careful") for chat in asked]
    assert torch.equal(view.next_token_logits(asked), toy.next_token_logits(shown))


@pytest.mark.parametrize("defense", [SYSTEM, RandomResize(0.5), NoDefense()], ids=lambda d: d.name)
def test_it_answers_as_the_defended_victim_does(defense: Defense, toy: OwnModule) -> None:
    view = opened_through(defense, toy)
    assert view is not None
    asks = [Ask(CHAT, Settings(4, temperature=1.0, draw=k)) for k in range(3)] + [Ask(Chat.user("no picture"))]
    assert view.reply(asks) == defense(toy).reply(asks)


def test_a_drawn_picture_depends_on_the_picture_and_the_draw_alone() -> None:
    lens, other = RandomResize(0.5).lens, Image.from_array(255 - PICTURE.array())
    (one,) = lens.shown(CHAT, "key", 0).images
    assert (one,) == lens.shown(CHAT.ask("more").with_system("s"), "key", 0).images
    assert one != lens.shown(CHAT, "key", 1).images[0]
    assert one != lens.shown(CHAT, "another key", 0).images[0]
    both = lens.shown(Chat.user(other, PICTURE, "two"), "key", 0).images
    assert both[1] == one
    assert (one.width, one.height) == (PICTURE.width, PICTURE.height)


# ---------------------------------------------------------------- layers and text


def test_a_steered_model_is_steered_in_replies_losses_and_layers(llava: HF) -> None:
    vectors = {0: 3 * torch.randn(llava.embedding_width, generator=torch.Generator().manual_seed(2))}
    view = Opened(llava, NoDefense(), Lens(steering=vectors))
    x = llava.pixels(PICTURE)
    prepared, asks = llava.prepare(PAIRS[:1]), [Ask(CHAT, Settings(5))]
    bare = llava.loss_and_grad(x, prepared)
    found = view.loss_and_grad(x, prepared), view.hidden_states([CHAT]), view.next_token_logits([CHAT])
    answers = view.reply(asks)
    with llava.steering(vectors):
        torch.testing.assert_close(found[0].pixels, llava.loss_and_grad(x, prepared).pixels)
        torch.testing.assert_close(found[1], llava.hidden_states([CHAT]))
        torch.testing.assert_close(found[2], llava.next_token_logits([CHAT]))
        assert answers == llava.reply(asks)
    assert not torch.allclose(bare.loss, found[0].loss)
    torch.testing.assert_close(llava.loss_and_grad(x, prepared).loss, bare.loss)


def test_text_perturbations_get_the_mean_of_their_gradients(llava: HF) -> None:
    view = Opened(llava, Dimmed(), Lens(pixels=lambda x, _: x / 2, draws=2))
    x, prepared = llava.pixels(PICTURE), llava.prepare([PAIRS[1]])
    text = [[0.1 * torch.ones(prepared.text_tokens[0][0], llava.embedding_width)]]
    found, expected = view.loss_and_grad(x, prepared, text=text), llava.loss_and_grad(x / 2, prepared, text=text)
    assert found.text is not None
    assert expected.text is not None
    torch.testing.assert_close(found.text[0][0], expected.text[0][0])
    assert view.loss_and_grad(x, prepared).text is None


def test_candidates_are_compared_at_the_same_draws_and_behind_the_defense(llava: HF) -> None:
    view = opened_through(Stack((SYSTEM, RandomResize(0.6, draws=2))), llava)
    assert view is not None
    chats = [Chat.user(PICTURE, "tell me ! ! now"), Chat.user(PICTURE, "why ! !")]
    prepared = view.prepare([[(chat, "so")] for chat in chats], mark="! !")
    x = torch.cat([llava.pixels(PICTURE)] * 2)
    candidates = [[llava.encode(text) for text in ("? !", "x y")], [llava.encode("z z")]]
    with drawing([1, 2], 3):
        found = view.losses_of(x, prepared, candidates)
        for c in range(2):
            ids = [row[min(c, len(row) - 1)] for row in candidates]
            loss = view.loss_and_grad(x, prepared.filled(ids), need_grad=False).loss
            torch.testing.assert_close(found[0, c], loss[0])
        torch.testing.assert_close(found[1, 0], loss[1])
        losses, grads = view.mark_gradient(x, prepared)
        torch.testing.assert_close(losses, view.loss_and_grad(x, prepared).loss)
    assert bool(found[1, 1].isnan())
    assert [grad.shape for grad in grads] == [(len(llava.encode("! !")), llava.embedding_width)] * 2
    bare = llava.prepare([[(chat.with_system("be careful"), "so")] for chat in chats], mark="! !")
    seen = SYSTEM.opened(llava)
    by_hand = llava.mark_gradient(x, bare)[1]
    through = seen.mark_gradient(x, seen.prepare([[(chat, "so")] for chat in chats], mark="! !"))[1]
    for one, other in zip(through, by_hand, strict=True):
        torch.testing.assert_close(one, other)


def test_every_slot_is_looked_at_through_the_lens_and_draws_its_own(llava: HF) -> None:
    other = Image.from_array(255 - PICTURE.array())
    chat, slots = Chat.user(PICTURE, "what is it?").say("a dog").ask(other, "and this?"), ("image", "image2")
    x = {"image": llava.pixels(PICTURE), "image2": llava.pixels(other)}
    halves = Opened(llava, NoDefense(), Lens(pixels=lambda pixels, _: pixels / 2))
    prepared = llava.prepare([[(chat, "so")]], slots=slots)
    found = halves.loss_and_grad(x, prepared)
    expected = llava.loss_and_grad({slot: pixels / 2 for slot, pixels in x.items()}, prepared)
    torch.testing.assert_close(found.loss, expected.loss)
    for slot in slots:
        torch.testing.assert_close(found.pixels[slot], expected.pixels[slot] / 2)
    factors: list[float] = []

    def dim(pixels: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        factors.append(float(torch.rand((), generator=draws)))
        return pixels * factors[-1]

    Opened(llava, NoDefense(), Lens(pixels=dim, draws=1)).loss_and_grad(x, prepared)
    assert len(set(factors)) == 2


def test_a_chat_without_a_slot_has_no_pixels_to_look_through(llava: HF) -> None:
    view = Dimmed().opened(llava)
    prepared = view.prepare([[(Chat.user("why ?"), "so")]], slots=())
    found = view.loss_and_grad(None, prepared)
    assert found.pixels is None
    torch.testing.assert_close(found.loss, llava.loss_and_grad(None, prepared).loss)
