"""What a defense that opens itself promises an attacker who looks through it, as checks that raise AssertionError."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from proofglass.defenses.opened import Opened
from proofglass.engine.seeds import drawing
from proofglass.errors import ClosedVictim
from proofglass.interfaces import Defense, Victim, WhiteBoxVictim, innermost, opened_through
from proofglass.testing.checks import gives_gradients
from proofglass.types import Ask, Chat, Image, Reply

NUDGE = 5e-4  # an eighth of a grey level: far above what float32 rounds, far below what bends a loss
AGREES = 0.1  # share by which a slope measured at that distance may differ


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
    x, pair = view.pixels(image).clamp(NUDGE, 1 - NUDGE), [(chat.with_image(image), target)]
    prepared = view.prepare([pair])
    with drawing([3], 1):
        found = view.loss_and_grad(x, prepared)
        again = view.loss_and_grad(x, prepared)
        way = NUDGE * found.pixels.sign()
        ahead, behind = (view.loss_and_grad(x + side * way, prepared, need_grad=False).loss for side in (1, -1))
    assert bool((again.loss == found.loss).all()), "another loss at the same draw"
    if not any(lens.straight_through for lens in _lenses(view)):
        slope, measured = float((found.pixels * 2 * way).sum()), float((ahead - behind).sum())
        agrees = abs(slope - measured) <= AGREES * abs(measured)
        assert agrees, f"the gradient says {slope:.4g}, the loss {measured:.4g}"


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


def _close(found: Any, expected: Any, otherwise: str) -> None:
    import torch

    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-5), otherwise
