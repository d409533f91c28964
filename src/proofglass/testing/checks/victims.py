"""What every victim promises; of one that opens itself more stands in `white_box`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

from proofglass.errors import ClosedVictim
from proofglass.interfaces import (
    Victim,
    WhiteBoxVictim,
)
from proofglass.testing.material import unreadable
from proofglass.types import (
    Ask,
    Chat,
    Image,
    Settings,
)


def replies_in_order(victim: Victim, asks: Sequence[Ask]) -> None:
    """As many replies as asks; together and alone, the first and the last get the same answer."""
    together = victim.reply(asks)
    assert len(together) == len(asks)
    assert victim.reply([]) == []
    assert all(reply.outcome == "ok" for reply in together), [reply.reason for reply in together]
    for k in (0, len(asks) - 1):
        assert victim.reply([asks[k]])[0].text == together[k].text, f"ask {k} got another's reply"


def isolates_a_bad_ask(victim: Victim, ask: Ask) -> None:
    """A picture that cannot be read is an error of its own ask; the others are answered as if it were not there."""
    bad = ask.on(Chat.user(unreadable(), "what is this ?"))
    alone = victim.reply([ask])[0]
    first, second, third = victim.reply([ask, bad, ask])
    assert second.outcome == "error", "no picture was seen, yet there is an answer"
    assert first.text == third.text == alone.text
    assert first.outcome == third.outcome == "ok"


def answers_alike_twice(victim: Victim, ask: Ask) -> None:
    """Greedy decoding is deterministic, also for text from anywhere; using a victim leaves its key alone."""
    key = victim.key
    for text in ("", "naïve 😀 \u202e \x1b[31m <s> </s> <image>"):
        odd = ask.on(ask.chat.ask(text))
        assert victim.reply([odd]) == victim.reply([odd])
    assert victim.key == key


def keeps_the_token_limit(victim: Victim, ask: Ask) -> None:
    """No more than max_new_tokens; a reply that was cut says so; every reply counts as a query."""
    short = victim.reply([dataclasses.replace(ask, settings=Settings(max_new_tokens=2))])[0]
    assert short.cost.tokens_out <= 2
    assert short.cost.queries == 1
    assert short.finish == "length" or short.cost.tokens_out < 2, "cut, and it does not say so"


def has_a_card(victim: Victim) -> None:
    """What the report states about it, JSON-able."""
    card = victim.card()
    assert card, "an empty card"
    json.dumps(card)


def gives_gradients(victim: WhiteBoxVictim, image: Image, chat: Chat, target: str) -> None:
    """Shapes and meaning of the white-box port: finite, not zero, [0, 1] only, rows independent, loss goes down."""
    import torch

    pixels = victim.pixels(image)
    assert pixels.dtype == torch.float32
    assert pixels.shape[:2] == (1, 3)
    pair = [(chat.with_image(image), target)]
    one = victim.loss_and_grad(pixels, victim.prepare([pair]))
    assert one.pixels.shape == pixels.shape
    assert torch.isfinite(one.pixels).all()
    assert one.pixels.abs().max() > 0, "the gradient is zero"
    two = victim.loss_and_grad(pixels.repeat(2, 1, 1, 1), victim.prepare([pair, pair]))
    torch.testing.assert_close(two.pixels[1:], one.pixels, rtol=1e-3, atol=1e-6)
    step = (pixels - 2e-3 * one.pixels.sign()).clamp(0, 1)
    assert victim.loss_and_grad(step, victim.prepare([pair]), need_grad=False).loss < one.loss, "uphill"
    ports: dict[str, Callable[[Any], object]] = {
        "loss_and_grad": lambda x: victim.loss_and_grad(x, victim.prepare([pair])),
        "target_logits": lambda x: victim.target_logits(x, victim.prepare([pair])),
        "features": victim.features,
        "features_and_grad": lambda x: victim.features_and_grad(x, lambda found: found.flatten(1).sum(1)),
    }
    for port, take in ports.items():
        try:
            take(pixels + 2)
        except (ValueError, ClosedVictim):
            continue
        raise AssertionError(f"{port}: pixels outside [0, 1] were taken")
