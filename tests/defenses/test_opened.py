"""A model seen through a defense: what reaches it, what comes back, and that no port is forgotten."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proofglass import Lens, Opened, Stack
from proofglass.defenses.inference.none import NoDefense
from proofglass.defenses.inference.self_moderation import SelfModeration
from proofglass.defenses.inference.system_prompt import SystemPrompt
from proofglass.engine.seeds import draw_of, drawing
from proofglass.interfaces import Defense, Victim, WhiteBoxVictim, innermost, opened_through
from proofglass.types import Ask, Budget, Chat, Image, Layout, Sample, Settings
from proofglass.victims.hf_folder import HF
from proofglass.victims.own import OwnModule
from shapes import unheld
from strangers.random_resize import RandomResize
from tiny_models import build as tiny
from toy_module import Toy

PICTURE = Image.from_array(np.random.default_rng(0).integers(0, 256, (12, 8, 3), np.uint8))
CHAT = Chat.user(PICTURE, "what is it?")
PAIRS = [[(CHAT, "a cat"), (CHAT.ask("no, what?"), "a red kite")], [(Chat.user(PICTURE, "why?"), "so")]]
SYSTEM = SystemPrompt("be careful")


@pytest.fixture
def toy() -> OwnModule:
    return OwnModule(Toy())


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> HF:
    return HF(tiny("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


def some_pixels(rows: int = 2, seed: int = 3) -> torch.Tensor:
    return 0.1 + 0.8 * torch.rand(rows, 3, 12, 8, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Dimmed(Defense):
    """Multiplies each picture by a random number of its own."""

    name = "dimmed"
    least: float = 0.5

    def dim(self, x: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        return x * (self.least + (1 - self.least) * torch.rand((), generator=draws))

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, Lens(pixels=self.dim, draws=3))


# ---------------------------------------------------------------- no port is forgotten


def ports() -> list[str]:
    """All that a white-box victim shows beyond what every plug does."""
    return [n for cls in (Victim, WhiteBoxVictim) for n in (*vars(cls), *cls.__annotations__) if not n.startswith("_")]


DERIVED = {"passes"}  # from `draws`
STATED = {"layout", "image_size", "sees_images", "world", "draws"}


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
    embeddings, encode, decode, writable = _say("embeddings"), _say("encode"), _say("decode"), _say("writable")
    losses_of = _say("losses_of")
    gradient_path = _say("plain")


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
        "embeddings": ((), {}),
        "encode": (("text",), {}),
        "decode": (([1, 2],), {}),
        "writable": ((), {}),
        "losses_of": ((x, "prepared", [[[1]]]), {"weighting": "sum"}),
    }
    values = {"embedding_width", "normalisation", "context_window", "inside", "gradient_path"} | STATED
    asked_elsewhere = {"reply", "in_run", "margin_and_grad", "mark_gradient"}
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


# ---------------------------------------------------------------- pixels


def test_losses_are_means_over_the_draws_and_gradients_follow_them_by_the_chain_rule(toy: OwnModule) -> None:
    # d/dx f(c x) = c f'(c x), c drawn from (key, seed, step, k).
    from proofglass.engine.seeds import stream

    defense, x = Dimmed(), some_pixels()
    view, prepared = defense.opened(toy), toy.prepare(PAIRS)
    with drawing([5, 6], 7):
        found = view.loss_and_grad(x, prepared)
    factor = torch.tensor(
        [
            [0.5 + 0.5 * float(torch.rand((), generator=stream(defense.key, "image", s, 7, k))) for s in (5, 6)]
            for k in range(3)
        ]
    )[..., None, None, None]
    each = [toy.loss_and_grad(x * c, prepared) for c in factor]
    torch.testing.assert_close(found.loss, torch.stack([e.loss for e in each]).mean(0))
    torch.testing.assert_close(found.nll, torch.stack([e.nll for e in each]).mean(0), equal_nan=True)
    grads = [c * e.pixels for c, e in zip(factor, each, strict=True)]
    torch.testing.assert_close(found.pixels, torch.stack(grads).mean(0))


def test_gradients_through_draws_equal_finite_differences() -> None:
    toy = OwnModule(Toy().double())
    view, x = RandomResize(0.6, draws=2).opened(toy), some_pixels().double()
    prepared, way = view.prepare(PAIRS), torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    with drawing([1, 2], 3):
        grad = view.loss_and_grad(x, prepared).pixels
        ahead, behind = (view.loss_and_grad(x + h * way, prepared, need_grad=False).loss for h in (1e-6, -1e-6))
    torch.testing.assert_close((grad * way).flatten(1).sum(1), (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-7)


def test_a_draw_belongs_to_the_picture_and_the_step(toy: OwnModule) -> None:
    view, x = RandomResize(0.5).opened(toy), some_pixels()

    def loss(seeds: list[int], step: int, rows: list[int]) -> torch.Tensor:
        with drawing(seeds, step):
            return view.loss_and_grad(x[rows], view.prepare([PAIRS[b] for b in rows])).loss

    both = loss([5, 6], 7, [0, 1])
    torch.testing.assert_close(both, torch.cat([loss([5], 7, [0]), loss([6], 7, [1])]))
    assert torch.equal(both, loss([5, 6], 7, [0, 1]))
    assert not torch.allclose(both, loss([5, 6], 8, [0, 1]))
    assert not torch.allclose(both, loss([6, 5], 7, [0, 1]))


def test_seeds_of_another_number_of_pictures_are_an_error(toy: OwnModule) -> None:
    view = Dimmed().opened(toy)
    with drawing([1], 0), pytest.raises(ValueError, match="2 pictures are evaluated under the seeds of 1"):
        view.loss_and_grad(some_pixels(), view.prepare(PAIRS))
    assert draw_of(2) == ((0, 0), "alone")


def test_members_of_a_stack_draw_apart_and_their_draws_multiply(toy: OwnModule) -> None:
    seen: list[tuple[str, float]] = []

    @dataclass(frozen=True)
    class Noting(Dimmed):
        least: float = 0.5

        def dim(self, x: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
            factor = float(torch.rand((), generator=draws))
            seen.append((self.key, factor))
            return x * factor

    view = Noting(0.5).opened(Noting(0.6).opened(toy))
    assert view.draws == 9
    prepared = view.prepare(PAIRS[:1])
    seen.clear()
    view.loss_and_grad(some_pixels(1), prepared)
    assert len(seen) == 3 + 9
    assert len({factor for _, factor in seen}) == 12


def test_logits_and_features_are_of_what_reaches_the_model(toy: OwnModule) -> None:
    half = Opened(toy, NoDefense(), Lens(pixels=lambda x, _: x / 2))
    x, prepared = some_pixels(), toy.prepare(PAIRS)
    for found, expected in zip(half.target_logits(x, prepared), toy.target_logits(x / 2, prepared), strict=True):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)
    torch.testing.assert_close(half.features(x), toy.features(x / 2))

    def loss(found: torch.Tensor) -> torch.Tensor:
        return (found**2).flatten(1).sum(1)

    value, grad = half.features_and_grad(x, loss)
    expected_value, expected_grad = toy.features_and_grad(x / 2, loss)
    torch.testing.assert_close(value, expected_value)
    torch.testing.assert_close(grad, expected_grad / 2)
    leaf = x.clone().requires_grad_()
    loss(half.features(leaf)).sum().backward()
    torch.testing.assert_close(leaf.grad, grad)
    seen = Image.from_array((PICTURE.array() / 2).round().astype(np.uint8))
    assert torch.equal(half.next_token_logits([CHAT]), toy.next_token_logits([CHAT.with_image(seen)]))


def test_a_map_without_a_gradient_says_that_its_own_is_passed_through(toy: OwnModule) -> None:
    def levels(x: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        return (x.detach() * 7).round() / 7

    x, prepared = some_pixels(), toy.prepare(PAIRS)
    with pytest.raises(ValueError, match=r"gives no gradient .* straight_through=True"):
        Opened(toy, NoDefense(), Lens(pixels=levels)).loss_and_grad(x, prepared)
    view = Opened(toy, NoDefense(), Lens(pixels=levels, straight_through=True))
    expected = toy.loss_and_grad(levels(x, torch.Generator()), prepared)
    torch.testing.assert_close(view.loss_and_grad(x, prepared).pixels, expected.pixels)
    assert view.gradient_path().endswith("(straight through)")


def test_a_picture_of_another_size_is_brought_back_and_stays_in_range(toy: OwnModule) -> None:
    view = Opened(toy, NoDefense(), Lens(pixels=lambda x, _: 3 * x[..., ::2, ::2]))
    found = view.loss_and_grad(some_pixels(), view.prepare(PAIRS))  # the module takes 12 x 8 pixels in [0, 1] only
    assert found.pixels.shape == (2, 3, 12, 8)


@pytest.mark.parametrize("port", ["loss_and_grad", "target_logits", "features", "features_and_grad", "margin_and_grad"])
def test_pixels_outside_the_range_are_refused_before_the_lens_could_cut_them(port: str, toy: OwnModule) -> None:
    view = Dimmed().opened(toy)
    more = {"features": (), "features_and_grad": (sum,), "margin_and_grad": ([CHAT, CHAT],)}
    with pytest.raises(ValueError, match=f"{port}: pixels: expected values in"):
        getattr(view, port)(some_pixels() + 2, *more.get(port, (view.prepare(PAIRS),)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"draws": -1}, "draws: expected 0"),
        ({"draws": 2}, "draws, straight_through: say something of `pixels`"),
        ({"straight_through": True}, "draws, straight_through: say something of `pixels`"),
    ],
)
def test_a_lens_that_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Lens(**wrong)


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


# ---------------------------------------------------------------- gates


def brightness(limit: float) -> Callable[[Any, Any], torch.Tensor]:
    return lambda x, chats: x.flatten(1).mean(1) - limit


def test_no_gate_never_intervenes(toy: OwnModule) -> None:
    margin, grad = SYSTEM.opened(toy).margin_and_grad(some_pixels(), [CHAT, CHAT])
    assert margin.tolist() == [float("-inf")] * 2
    assert not grad.any()


def test_of_several_gates_the_largest_margin_counts_behind_what_stands_before_it(toy: OwnModule) -> None:
    # Means m of the pictures: the inner gate sees m / 2 - 0.1, the outer one m - 0.5: equal at m = 0.8.
    inner = Opened(toy, NoDefense(), Lens(margin=brightness(0.1)))
    halving = Opened(inner, NoDefense(), Lens(pixels=lambda x, _: x / 2))
    view = Opened(halving, NoDefense(), Lens(margin=brightness(0.5)))
    x = torch.tensor([0.4, 0.9])[:, None, None, None].expand(2, 3, 12, 8)
    margin, grad = view.margin_and_grad(x, [CHAT, CHAT])
    torch.testing.assert_close(margin, torch.tensor([0.1, 0.4]))
    torch.testing.assert_close(grad.flatten(1).sum(1), torch.tensor([0.5, 1.0]))


def test_an_attacker_who_adds_the_margin_passes_the_gate(toy: OwnModule) -> None:
    # The same descent with and without the hinge max(0, margin + 0.02): one lowers the loss and passes the gate, the
    # other lowers it and does not.
    from proofglass.engine import Box, Evaluation, Objective, Schedule, SignStep, TargetNLL, Weighted, minimise

    @dataclass
    class Hinge(Objective):
        view: WhiteBoxVictim

        def __call__(self, x: Any, step: int, *, need_grad: bool = True, memory: Any = None) -> Evaluation:
            margin, grad = self.view.margin_and_grad(x, [CHAT] * len(x))
            over = (margin + 0.02).clamp(min=0)
            return Evaluation(over, grad * (over > 0)[:, None, None, None], 0, 0)

        def rows(self, picks: Any) -> Hinge:
            return self

    x0 = some_pixels(1)
    limit = float(x0.mean()) - 0.05  # the gate fires on the picture as it is
    view = Opened(toy, NoDefense(), Lens(margin=brightness(limit)))
    loss = TargetNLL(view, PAIRS[:1])
    found = [
        minimise(J, x0, constraint=Box("clean"), step=SignStep(0.01), schedule=Schedule(60)).x
        for J in (loss, Weighted([(1.0, loss), (1000.0, Hinge(view))]))
    ]
    margins = [float(view.margin_and_grad(x, [CHAT])[0]) for x in found]
    assert margins[0] > 0 > margins[1]
    assert float(loss.value(found[1]).loss) < float(loss.value(x0).loss)


# ---------------------------------------------------------------- the loop


def test_a_batch_crafted_through_random_draws_equals_its_single_runs(toy: OwnModule) -> None:
    from proofglass.engine import Estimated, LInf, MomentumStep, Schedule, TargetNLL, minimise

    view, x0 = RandomResize(0.5, draws=2).opened(toy), some_pixels()

    def crafted(rows: list[int], estimated: bool) -> torch.Tensor:
        loss: Any = TargetNLL(view, [PAIRS[b] for b in rows])
        if estimated:
            loss = Estimated(loss, "spsa", 1 / 255, 2, rows)
        return minimise(
            loss, x0[rows], constraint=LInf(0.1), step=MomentumStep(0.02, 0.5, "unit"), schedule=Schedule(5), seed=rows
        ).x

    for estimated in (False, True):
        both = crafted([0, 1], estimated)
        torch.testing.assert_close(both, torch.cat([crafted([0], estimated), crafted([1], estimated)]))


def test_a_killed_craft_goes_on_with_the_same_draws(toy: OwnModule, tmp_path: Path) -> None:
    from proofglass.engine import LInf, Schedule, SignStep, TargetNLL, minimise
    from proofglass.engine.checkpoints import kept_in
    from toy_objectives import Killed, Recorded

    view = RandomResize(0.5, draws=2).opened(toy)

    def run(fails_at: int | None, folder: Path | None) -> torch.Tensor:
        objective = Recorded(TargetNLL(view, PAIRS), fails_at=fails_at)
        with kept_in(folder, every=2) if folder else nullcontext():
            return minimise(
                objective, some_pixels(), constraint=LInf(0.1), step=SignStep(0.01), schedule=Schedule(8), seed=4
            ).x

    with pytest.raises(Killed):
        run(5, tmp_path)
    assert torch.equal(run(None, tmp_path), run(None, None))


def test_every_draw_is_paid_for(toy: OwnModule) -> None:
    # One pair, 2 draws: a step costs 2 forward and 2 backward passes, 6 equivalents; 20 of them buy 3 steps.
    from proofglass.engine import LInf, Schedule, SignStep, TargetNLL, minimise

    objective = TargetNLL(RandomResize(draws=2).opened(toy), PAIRS[1:])
    found = minimise(
        objective, some_pixels(1), constraint=LInf(0.1), step=SignStep(0.01), schedule=Schedule(9), budget=Budget(20)
    )
    assert (found.costs[0].forward, found.costs[0].backward) == (6, 6)
    assert not objective.plain


def test_a_budget_shortens_a_schedule_by_the_draws_of_a_look() -> None:
    # Square pays one look at a start, `steps` proposals and a last look; each is 2 passes here: 20 // 2 - 1 = 9.
    from proofglass.attacks.image.square import Square

    toy = OwnModule(Toy())
    view = RandomResize(draws=2).opened(toy)
    sample = Sample("s", "toy", CHAT, target="so")
    spent = []
    for victim in (toy, view):
        (found,) = Square(steps=100).craft(victim, [sample], seed=0, budget=Budget(20))
        spent.append((len(found.trace["loss"]), found.cost.forward))
    assert spent == [(20, 20), (10, 20)]
