"""CoCA and Immune: golden logits, two dialogues read in step, rewards of the whole text, and what is an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from defenses.layered import judged, victim_of
from proofglass import Lens, Stack
from proofglass.defenses.contrasted import Contrasted
from proofglass.defenses.inference.coca import CoCA
from proofglass.defenses.inference.immune import Immune
from proofglass.defenses.inference.system_prompt import SystemPrompt
from proofglass.errors import ClosedVictim, UsageError
from proofglass.interfaces import Reward, WhiteBoxVictim, opened_through
from proofglass.testing.material import Scripted, unreadable
from proofglass.types import Ask, Chat, Settings

TEN = Settings(max_new_tokens=10)
COCA = CoCA("never help with sealed things .", alpha=2.0)


@pytest.fixture(scope="module")
def linear() -> WhiteBoxVictim:
    return victim_of()


def asked(n: int = 2, settings: Settings = TEN) -> list[Ask]:
    return [
        Ask(sample.chat, settings)
        for part in ("benign-image", "vqa", "typographic", "benign")
        for sample in judged(part, n)
    ]


# ---------------------------------------------------------------- CoCA


def test_the_combined_logits_are_those_of_the_formula() -> None:
    found = Contrasted("coca", lambda chat: chat, 4.0).of(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([1.5, 1.6, 0.0]))
    torch.testing.assert_close(found, torch.tensor([4.0, -1.4, 0.0]))


@pytest.mark.parametrize("name", ["testbed-linear", "testbed-queries", "testbed-cross"])
def test_its_reply_is_the_greedy_one_of_both_dialogues(name: str) -> None:
    # By hand: every token is the likeliest of z_s + alpha (z_s - z_0), each from a pass over the whole text so far.
    model, asks = victim_of(name), asked()
    defense = replace(COCA, alpha=40.0)
    view, replies = defense.opened(model), defense(model).reply(asks)
    assert [r.text for r in replies] != [r.text for r in model.reply(asks)]
    for ask, reply in zip(asks, replies, strict=True):
        prepared = view.prepare([[(ask.chat, reply.text)]], slots=())
        (places,), (logits,) = prepared.places[0], view.target_logits(None, prepared)[0]
        assert logits.argmax(-1).tolist() == list(places.ids[slice(*places.target)])
    assert torch.equal(
        view.next_token_logits([asks[0].chat]).argmax(-1),
        view.target_logits(None, view.prepare([[(asks[0].chat, replies[0].text)]], slots=()))[0][0][:1].argmax(-1),
    )


def test_without_strength_it_is_the_principle_and_without_principle_the_identity(linear: WhiteBoxVictim) -> None:
    asks = asked()
    texts = [r.text for r in replace(COCA, alpha=0.0)(linear).reply(asks)]
    assert texts == [r.text for r in SystemPrompt(COCA.principle, "append")(linear).reply(asks)]
    assert replace(COCA, principle="")(linear).reply(asks) == linear.reply(asks)


def test_rows_that_end_early_leave_both_dialogues(linear: WhiteBoxVictim) -> None:
    settings = Settings(max_new_tokens=30)
    together = COCA(linear).reply(asked(settings=settings))
    alone = [COCA(linear).reply([ask])[0] for ask in asked(settings=settings)]
    assert len({r.cost.tokens_out for r in together}) > 1
    assert [(r.text, r.cost) for r in together] == [(r.text, r.cost) for r in alone]
    drawn = replace(settings, temperature=1.0, draw=2)
    assert COCA(linear).reply(asked(settings=drawn)) == [COCA(linear).reply([ask])[0] for ask in asked(settings=drawn)]


def test_a_chat_that_does_not_fit_costs_itself(linear: WhiteBoxVictim) -> None:
    asks = [*asked(1), Ask(Chat.user(unreadable(), "what is it ?"), TEN)]
    replies = COCA(linear).reply(asks)
    assert [r.outcome for r in replies] == ["ok", "ok", "ok", "ok", "error"]
    assert replies[:4] == COCA(linear).reply(asks[:4])


@pytest.mark.parametrize("weighting", ["token", "pair", "sum"])
def test_its_gradient_is_the_slope_of_its_loss(linear: WhiteBoxVictim, weighting: Any) -> None:
    view, samples = COCA.opened(linear), judged("restricted-image", 2)
    pairs = [[(s.chat, s.target), (s.chat, "sorry , no .")] for s in samples]
    x = torch.cat([linear.pixels(s.chat.images[0]) for s in samples]).clamp(0.02, 0.98)
    prepared = view.prepare(pairs)
    found = view.loss_and_grad(x, prepared, weighting=weighting)
    way = 5e-4 * found.pixels.sign()
    ahead, behind = (
        view.loss_and_grad(x + side * way, prepared, weighting=weighting, need_grad=False).loss for side in (1, -1)
    )
    torch.testing.assert_close((found.pixels * 2 * way).sum((1, 2, 3)), ahead - behind, rtol=0.05, atol=1e-3)
    logits = view.target_logits(x, prepared)
    for b, row in enumerate(prepared.places):
        for p, place in enumerate(row):
            targets = torch.tensor(place.ids[slice(*place.target)])
            torch.testing.assert_close(found.nll[b, p], torch.nn.functional.cross_entropy(logits[b][p], targets))
    some = prepared.select([[1], [0]])
    by_hand = some.weighted([[[1.0] * sum(spans) for spans in row] for row in some.spans])
    torch.testing.assert_close(
        view.loss_and_grad(x, by_hand, weighting="given").pixels, view.loss_and_grad(x, some, weighting="sum").pixels
    )


def test_what_answers_by_itself_stands_alone_and_no_ask_is_no_reply(linear: WhiteBoxVictim) -> None:
    with pytest.raises(ValueError, match="acting: answers by itself"):
        Lens(chat=COCA.placed, acting=Contrasted("coca", COCA.placed, 1.0))
    assert COCA(linear).reply([]) == []


def test_what_it_cannot_give_it_says(linear: WhiteBoxVictim) -> None:
    view, (sample,) = COCA.opened(linear), judged("restricted-image", 1)
    prepared = view.prepare([[(sample.chat, sample.target)]])
    with pytest.raises(ClosedVictim, match="soft labels"):
        prepared.taught([[torch.zeros(1, 1)]])
    with pytest.raises(ClosedVictim, match="no gradient to text"):
        view.loss_and_grad(linear.pixels(sample.chat.images[0]), prepared, text=[[torch.zeros(1, 1)]])
    with pytest.raises(UsageError, match=r"coca: acts inside the model .*gives replies only"):
        COCA(Scripted())
    twice = opened_through(Stack((COCA, COCA)), linear)
    assert twice is not None
    with pytest.raises(ClosedVictim, match="chosen by another defense already"):
        twice.reply(asked(1))


# ---------------------------------------------------------------- Immune


@dataclass(frozen=True)
class Likes(Reward):
    """Likes texts that hold a word; `asked` notes what it is shown.

    word: which. asked: every pair so far.
    """

    word: str = "sorry"
    asked: Any = None

    name = "likes"
    not_in_key = ("asked",)

    def rewards(self, replies: Sequence[tuple[Chat, str]]) -> Sequence[float]:
        if self.asked is not None:
            self.asked.extend(replies)
        return [float(self.word in text.split()) for _, text in replies]


@dataclass(frozen=True)
class Table(Reward):
    """Rewards in the order of the candidates.

    values: one for each.
    """

    values: tuple[float, ...] = (-2.0, 1.0, 4.0)
    name = "table"

    def rewards(self, replies: Sequence[tuple[Chat, str]]) -> Sequence[float]:
        return self.values[: len(replies)]


@pytest.mark.parametrize(
    ("k", "weight", "scores", "chances"),
    [
        (3, 1.0, [1.0, 3.5, 5.0], [0.0147528, 0.1797340, 0.8055132]),
        (2, 1.0, [1.0, 3.5], [0.0758582, 0.9241418]),
        (3, 0.0, [3.0, 2.5, 1.0], None),
    ],
)
def test_the_scores_of_the_candidates_are_those_of_the_formula(
    k: int, weight: float, scores: list[float], chances: list[float] | None
) -> None:
    found: list[torch.Tensor] = []

    class Stub:
        def decode(self, ids: Sequence[int]) -> str:
            return " ".join(map(str, ids))

        def reply_by(self, asks: Any, rescored: Any) -> Any:
            found.append(rescored([(0, ())], torch.tensor([[3.0, 2.5, 1.0]]), None)[0])
            return []

    with pytest.raises(ValueError, match="zip"):
        Immune(Table(), k, weight).answer(Stub(), [Ask(Chat.user("?"))])  # type: ignore[arg-type]
    kept = found[0][found[0].isfinite()]
    torch.testing.assert_close(kept, torch.tensor(scores))
    if chances is not None:
        torch.testing.assert_close(kept.softmax(-1), torch.tensor(chances))


def test_without_weight_it_is_the_identity(linear: WhiteBoxVictim) -> None:
    replies = Immune(Likes(), weight=0.0)(linear).reply(asked())
    assert [r.text for r in replies] == [r.text for r in linear.reply(asked())]


def test_the_reward_decides_and_its_asks_are_counted(linear: WhiteBoxVictim) -> None:
    shown: list[tuple[Chat, str]] = []
    reward, asks = Likes(asked=shown), asked(1)
    defense = Immune(reward, k=40, weight=100.0)
    replies = defense(linear).reply(asks)
    assert all("sorry" in reply.text.split()[:1] for reply in replies)
    assert sum(reply.helpers[reward.key].queries for reply in replies) == len(shown)
    assert [reply.cost.queries for reply in replies] == [1] * len(asks)
    # What it was shown of the second token goes on from the first that was chosen.
    assert {text.split()[0] for chat, text in shown if chat == asks[0].chat and len(text.split()) > 1} == {"sorry"}


@pytest.mark.parametrize("values", [(), (float("nan"),) * 99, (float("inf"),) * 99])
def test_a_reward_that_is_none_is_an_error_of_the_sample(linear: WhiteBoxVictim, values: tuple[float, ...]) -> None:
    for reply in Immune(Table(values))(linear).reply(asked(1)):
        assert reply.outcome == "error"
        assert "finite numbers" in reply.reason


def test_it_stays_closed_and_needs_logits(linear: WhiteBoxVictim) -> None:
    assert opened_through(Immune(Likes()), linear) is None
    with pytest.raises(UsageError, match="immune: acts inside the model"):
        Immune(Likes())(Scripted())
