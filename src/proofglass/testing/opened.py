"""What a defense that opens itself promises an attacker who looks through it, as checks that raise AssertionError."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from proofglass.defenses.opened import Opened
from proofglass.engine.points import IMAGE
from proofglass.engine.seeds import drawing
from proofglass.errors import ClosedVictim
from proofglass.interfaces import Defense, Victim, WhiteBoxVictim, innermost, opened_through
from proofglass.testing.checks import gives_gradients
from proofglass.types import Ask, Chat, Image, Reply

NUDGE = 5e-4  # an eighth of a grey level: far above what float32 rounds, far below what bends a loss
AGREES = 0.1  # share by which a slope measured at that distance may differ
ROUNDED = 2e-6  # share of a value that float32 may have rounded off
WAYS = 4  # random directions, beside that of the gradient's sign


def answers_as_it_defends(defense: Defense, model: WhiteBoxVictim, asks: Sequence[Ask]) -> None:
    """What an attacker looks through answers as the defended victim does, under a key of its own, and the model is
    found inside, or the one that the defense has put in its place."""
    view = _view(defense, model)
    expected, found = defense(model).reply(asks), view.reply(asks)
    assert [(r.text, r.outcome) for r in found] == [(r.text, r.outcome) for r in expected], "another answer"
    replaced = defense.needs_model == "weights"
    assert (innermost(view) is innermost(model)) != replaced, "the model is not found inside"
    assert view is model or view.key != model.key, "crafted through it or on the bare model, the artefact has one key"


def shows_what_reaches_the_model(defense: Defense, model: WhiteBoxVictim, chat: Chat, target: str) -> None:
    """Its logits and losses are of the dialogue that the defense puts to the model. Looked at where a dialogue is one
    ask and nothing happens inside the model; losses where the pictures stay as they are."""
    view, recorder = _view(defense, model), Recorder(model)
    if defense.needs_model == "weights" or any(lens.steering or lens.acting for lens in _lenses(view)):
        return
    defense(recorder).reply([Ask(chat)])
    if len(recorder.asked) != 1:
        return
    (shown,) = (ask.chat for ask in recorder.asked)
    _close(view.next_token_logits([chat]), model.next_token_logits([shown]), "logits of another dialogue")
    if shown.images == chat.images:
        x = model.pixels(chat.images[0])
        found, expected = (
            victim.loss_and_grad(x, victim.prepare([[(asked, target)]]))
            for victim, asked in ((view, chat), (model, shown))
        )
        _close(found.loss, expected.loss, "the loss of another dialogue")
        _close(found.pixels, expected.pixels, "the gradient of another dialogue")


def gradients_lead_through_it(defense: Defense, model: WhiteBoxVictim, image: Image, chat: Chat, target: str) -> None:
    """The white-box port holds through the defense, and its gradient is the slope of its loss at the same draws (unless
    the defense says that it passes gradients straight through); the same seed and step give the same loss.

    target: a text that the model does not say anyway: the slope of a loss near 0 is all rounding.
    """
    view = _view(defense, model)
    gives_gradients(view, image, chat, target)
    x, prepared = _inner(view, image), view.prepare([[(chat.with_image(image), target)]])
    with drawing([3], 1):
        found = view.loss_and_grad(x, prepared)
        again = view.loss_and_grad(x, prepared)
        assert bool((again.loss == found.loss).all()), "another loss at the same draw"
        if not any(lens.straight_through for lens in _lenses(view)):
            is_the_slope(lambda y: view.loss_and_grad(y, prepared, need_grad=False).loss, x, found.pixels, "the loss")


def passes_gradients_straight_through(
    defense: Defense, model: WhiteBoxVictim, image: Image, chat: Chat, target: str
) -> None:
    """Where it says that it passes gradients straight through, its gradient is the model's own at the picture that
    reaches the model, the mean over the draws."""
    import torch

    view = _view(defense, model)
    if not isinstance(view, Opened) or not view.lens.straight_through or view.lens.steering or view.model.draws:
        return
    x, prepared = _inner(view, image), view.prepare([[(chat.with_image(image), target)]])
    with drawing([3], 1):
        found = view.loss_and_grad(x, prepared).pixels
        each = [view.lens.see(x, draw.generators(IMAGE)) for draw in view.draws_of(1)]
    expected = torch.stack([model.loss_and_grad(seen, prepared).pixels for seen in each]).mean(0)
    _close(found, expected, "another gradient than the model's at the picture that reaches it")


def margins_are_of_its_gates(defense: Defense, model: WhiteBoxVictim, image: Image, chat: Chat) -> None:
    """Where it has a gate, the margin that an attacker sees is the one that its decision on the picture records, and
    the gradient is the slope of that margin."""
    view = _view(defense, model)
    if not view.gated:
        return
    chats, x = [chat.with_image(image)], view.pixels(image)
    with drawing([3], 1):
        margin, _ = view.margin_and_grad(x, chats)
        (reply,) = defense(model).reply([Ask(chats[0])])
        recorded = [each.margin for each in reply.decisions if each.margin is not None]
        if recorded and not view.draws:
            _close(margin, margin.new_tensor([max(recorded)]), "another margin than the decision records", 1e-2)
        x = _inner(view, image)
        margin, grad = view.margin_and_grad(x, chats)
        assert bool(margin.isfinite().all()), "it has a gate, and no margin"
        is_the_slope(lambda y: view.margin_and_grad(y, chats)[0], x, grad, "the margin")


def is_the_slope(
    value: Callable[[Any], Any], x: Any, grad: Any, what: str, *, within: float = AGREES, rounded: float = ROUNDED
) -> None:
    """`grad` is the gradient of `value`, [B] of pictures x [B, ...], by central differences: along its own sign, and
    along random directions, in which a part of the picture that gets none is seen too. within: the share of the usual
    slope by which one may differ; rounded: the share of a value that may be rounding.

    Raises AssertionError naming `what` otherwise.
    """
    import torch

    draws, length = torch.Generator().manual_seed(5), grad.double().flatten(1).norm(dim=1)
    ways = [torch.randint(0, 2, x.shape, generator=draws).to(x) * 2 - 1 for _ in range(WAYS)]
    for k, way in enumerate((grad.sign().to(x), *ways)):
        ahead, behind = x + NUDGE * way, x - NUDGE * way
        moved = ((ahead - behind).double() * grad.double()).flatten(1)
        slope, values = moved.sum(1), [value(each).double() for each in (ahead, behind)]
        measured = values[0] - values[1]
        # Along the sign a slope is as large as can be; along a random way it is about as large as the gradient is long.
        usual = slope.abs() if k == 0 else 2 * NUDGE * length
        agrees = (slope - measured).abs() <= within * usual + rounded * values[0].abs()
        told = [f"{float(each[int(agrees.int().argmin())]):.4g}" for each in (slope, measured)]
        where = "its own way" if k == 0 else "a random way"
        assert bool(agrees.all()), f"the gradient says {told[0]}, {what} {told[1]}, along {where}"


def _inner(view: WhiteBoxVictim, image: Image) -> Any:
    """The picture, so far from black and white that a nudge stays in range."""
    return view.pixels(image).clamp(NUDGE, 1 - NUDGE)


@dataclasses.dataclass(frozen=True)
class Recorder(Victim):
    """`victim`, with the asks that reach it."""

    victim: Victim
    asked: list[Ask] = dataclasses.field(default_factory=list)
    name = "recorder"
    not_in_key = ("asked",)

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self.asked.extend(asks)
        return self.victim.reply(asks)


def _view(defense: Defense, model: WhiteBoxVictim) -> WhiteBoxVictim:
    view = opened_through(defense, model)
    if view is None:
        raise ClosedVictim(f"{defense.name}: stays closed, so there is nothing to look through")
    return view


def _lenses(view: WhiteBoxVictim) -> list[Any]:
    found, inside = [], view
    while isinstance(inside, Opened):
        found.append(inside.lens)
        inside = inside.inside
    return found


def _close(found: Any, expected: Any, otherwise: str, within: float = 1e-3) -> None:
    import torch

    assert torch.allclose(found, expected.to(found), rtol=within, atol=within / 100), otherwise
