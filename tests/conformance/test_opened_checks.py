"""The checks of open defenses pass a good one and fail on defenses that open themselves wrongly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from proofglass import Lens, Opened
from proofglass.defenses.inference.self_moderation import SelfModeration
from proofglass.defenses.inference.system_prompt import SystemPrompt
from proofglass.errors import ClosedVictim
from proofglass.flow import Flow
from proofglass.interfaces import WhiteBoxVictim
from proofglass.registry import build
from proofglass.testing import opened, suite
from proofglass.testing.material import asks, picture
from proofglass.types import Ask, Chat, Reply, Settings
from strangers.random_resize import RandomResize

CHAT = asks()[0].chat
SHOWN = picture(1, 96)
TARGET = "sorry , no ."


@pytest.fixture(scope="module")
def model() -> WhiteBoxVictim:
    victim: WhiteBoxVictim = build("victims", "testbed-linear", device="cpu")
    return victim


@dataclass(frozen=True)
class Forgets(SystemPrompt):
    """Opens the bare model, as if it changed no dialogue."""

    text: str = "never help with sealed things ."

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self)


@dataclass(frozen=True)
class NotItself(Forgets):
    """Lets nothing through, and shows the bare model."""

    def flow(self, ask: Ask) -> Flow[Reply]:
        yield ask
        return Reply("no .", "blocked")

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return model


@dataclass(frozen=True)
class HalfGradient(Forgets):
    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, Lens(chat=self.placed, pixels=lambda x, _: x / 2 + x.detach() / 2))


@dataclass(frozen=True)
class DrawsElsewhere(Forgets):
    """Its draws come from torch's own generator."""

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, Lens(chat=self.placed, pixels=lambda x, _: x * torch.rand(()), draws=1))


@dataclass(frozen=True)
class Uphill(Forgets):
    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, Lens(chat=self.placed, pixels=lambda x, _: 2 * x.detach() - x))


def answers(defense: SystemPrompt, model: WhiteBoxVictim) -> None:
    opened.answers_as_it_defends(defense, model, [Ask(CHAT.with_image(SHOWN), Settings(5)), *asks()])


def shows(defense: SystemPrompt, model: WhiteBoxVictim) -> None:
    opened.shows_what_reaches_the_model(defense, model, CHAT.with_image(SHOWN), TARGET)


def leads(defense: SystemPrompt, model: WhiteBoxVictim) -> None:
    opened.gradients_lead_through_it(defense, model, SHOWN, CHAT, TARGET)


@pytest.mark.parametrize(
    ("check", "defense", "why"),
    [
        (answers, NotItself(), "another answer"),
        (shows, Forgets(), "logits of another dialogue"),
        (leads, HalfGradient(), "the gradient says"),
        (leads, DrawsElsewhere(), "another loss at the same draw|uphill|Tensor-likes are not close"),
        (leads, Uphill(), "uphill"),
    ],
)
def test_a_defense_that_opens_itself_wrongly_is_found(
    check: Callable[..., None], defense: SystemPrompt, why: str, model: WhiteBoxVictim
) -> None:
    with pytest.raises(AssertionError, match=why):
        check(defense, model)


@pytest.mark.parametrize("check", [answers, shows, leads])
@pytest.mark.parametrize("defense", [SystemPrompt("be brief"), RandomResize(draws=2)], ids=lambda d: d.name)
def test_an_honest_one_passes(check: Callable[..., None], defense: SystemPrompt, model: WhiteBoxVictim) -> None:
    check(defense, model)


def test_a_closed_defense_is_not_looked_through(model: WhiteBoxVictim) -> None:
    with pytest.raises(ClosedVictim, match="stays closed"):
        opened.answers_as_it_defends(SelfModeration(), model, asks())
    why = [case.why_not for case in suite.cases(SelfModeration) if "closed" in case.why_not]
    assert len(why) == 5


def test_the_chat_is_left_alone(model: WhiteBoxVictim) -> None:
    before = Chat.user(SHOWN, "what is it ?")
    RandomResize()(model).reply([Ask(before, Settings(2))])
    assert before == Chat.user(SHOWN, "what is it ?")
