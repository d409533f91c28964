"""SmoothVLM: which copies are asked about, how they vote, what an attacker sees who looks through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb

import numpy as np
import pytest
import torch

from defenses.opened_parts import PAIRS, some_pixels
from proofglass.defenses.inference.smooth_vlm import SmoothVLM
from proofglass.engine.seeds import drawing
from proofglass.flow import Flow
from proofglass.interfaces import Judge, Stack, Victim
from proofglass.registry import build
from proofglass.types import Ask, Attempt, Chat, Cost, Image, Reply, Score, Settings
from proofglass.victims.own import OwnModule
from toy_module import Toy

PICTURE = Image.from_array(np.random.default_rng(0).integers(1, 256, (20, 30, 3), np.uint8))
ASK = Ask(Chat.user(PICTURE, "what is this ?"), Settings(9))
NO, YES = "I'm sorry, no", "it is a kite"


@dataclass(frozen=True)
class Lines(Victim):
    """Says its lines in order; remembers what it was asked."""

    lines: tuple[Reply | str, ...]
    asked: list[Ask] = field(default_factory=list)
    name = "lines"
    not_in_key = ("asked",)

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        found = [self.lines[(len(self.asked) + k) % len(self.lines)] for k in range(len(asks))]
        self.asked.extend(asks)
        return [line if isinstance(line, Reply) else Reply(line, cost=Cost(queries=1)) for line in found]


@dataclass(frozen=True)
class Silent(Judge):
    """Asks a helper that says nothing."""

    helper: Victim
    name = "silent"
    says = "bad"

    def flow(self, attempt: Attempt) -> Flow[Score]:
        reply = yield Ask(attempt.conversation, to=self.helper)
        return Score(self.name, float("bad" in reply.text))


def said(defense: SmoothVLM, *lines: Reply | str, ask: Ask = ASK) -> tuple[Reply, list[Ask]]:
    victim = Lines(lines)
    (reply,) = defense(victim).reply([ask])
    return reply, victim.asked


def numbered(labels: str) -> list[str]:
    """An answer for each label, 1: it goes along."""
    return [f"{YES if label == '1' else NO} {k}" for k, label in enumerate(labels)]


# ------------------------------------------------------------------------------------------------------ the vote


def test_g_sv1_a_minority_that_goes_along_is_outvoted() -> None:
    answers = numbered("1001001000")
    reply, asked = said(SmoothVLM(), *answers)
    assert len(asked) == reply.cost.queries == 10
    assert reply.text in {a for a in answers if a.startswith(NO)}
    (decision,) = reply.decisions
    assert (decision.fired, decision.threshold) == (True, 0.5)
    assert decision.margin == pytest.approx(0.2)
    assert decision.reason == "7 of 10 answers do not go along"


def test_g_sv1_a_tie_falls_on_the_side_that_does_not_go_along() -> None:
    reply, _ = said(SmoothVLM(), *numbered("1111100000"))
    assert reply.text.startswith(NO)
    assert reply.decisions[0].fired
    assert reply.decisions[0].margin == 0


def test_a_majority_that_goes_along_answers() -> None:
    reply, _ = said(SmoothVLM(), *numbered("1111110000"))
    assert reply.text.startswith(YES)
    assert not reply.decisions[0].fired


@pytest.mark.parametrize(("chance", "expected"), [(0.2, 0.0063694), (0.4, 0.1662386)])
def test_g_sv1_how_often_ten_copies_are_outvoted_by_an_attack(chance: float, expected: float) -> None:
    # The vote itself over all 1,024 outcomes of ten copies, each of which falls to the attack with this probability.
    defense, total = SmoothVLM(), 0.0
    for along in range(11):
        replies = [Reply(line) for line in numbered("1" * along + "0" * (10 - along))]
        won = not defense.voted(replies, [True] * along + [False] * (10 - along), 3).decisions[0].fired
        total += won * comb(10, along) * chance**along * (1 - chance) ** (10 - along)
    assert total == pytest.approx(expected, abs=1e-7)


def test_the_answer_is_drawn_from_its_side_and_the_same_ask_draws_alike() -> None:
    answers, texts = numbered("1111111111"), set()
    for draw in range(30):
        ask = Ask(ASK.chat, Settings(9, draw=draw))
        (first, _), (again, _) = (said(SmoothVLM(), *answers, ask=ask) for _ in range(2))
        assert first == again
        texts.add(first.text)
    assert len(texts) > 5


def test_an_answer_that_was_withheld_goes_along_with_nothing_and_no_judge_is_asked() -> None:
    held = Reply(outcome="filtered", reason="the provider's filter", cost=Cost(queries=1))
    reply, _ = said(SmoothVLM(copies=3), held, held, YES)
    assert (reply.outcome, reply.reason) == ("filtered", "the provider's filter")
    assert reply.decisions[0].fired


def test_a_judge_of_refusals_and_one_of_harm_are_read_their_own_way_round() -> None:
    for judge in ("refusal", "not-refused"):
        defense = SmoothVLM(copies=3, judge=build("judges", judge))
        refusing = "I'm sorry, but I can't help with that request."
        reply, _ = said(defense, refusing, refusing, "Sure, here is how you mend a kite: first, rinse it.")
        assert reply.text == refusing


# ------------------------------------------------------------------------------------------------- what goes wrong


def test_one_copy_that_fails_is_an_error_of_the_sample() -> None:
    reply, _ = said(SmoothVLM(copies=3), YES, Reply.error("the line is down"), YES)
    assert (reply.outcome, reply.reason, reply.cost.queries) == ("error", "the line is down", 3)


def test_an_empty_answer_cannot_be_judged_and_is_no_vote() -> None:
    reply, _ = said(SmoothVLM(copies=3), NO, "", NO)
    assert reply.outcome == "error"
    assert "phrases: reply 2 of 3: the reply is empty" in reply.reason


def test_a_judge_whose_helper_is_silent_is_an_error_of_the_sample_and_its_cost_is_told() -> None:
    helper = Lines((Reply.error("out of reach"),))
    reply, _ = said(SmoothVLM(copies=2, judge=Silent(helper)), NO, NO)
    assert reply.outcome == "error"
    assert "out of reach" in reply.reason
    assert reply.helpers[helper.key].queries == 1


def test_in_a_stack_every_call_is_counted() -> None:
    helper = Lines(("bad",))
    victim = Lines((YES,))
    stack = Stack((SmoothVLM(copies=3, judge=Silent(helper)), SmoothVLM(copies=2)))
    (reply,) = stack(victim).reply([ASK])
    assert (reply.outcome, reply.cost.queries, len(victim.asked)) == ("ok", 6, 6)
    assert reply.helpers[helper.key].queries == len(helper.asked) == 3
    assert len(reply.decisions) == 2


# -------------------------------------------------------------------------------------------------- the copies


@pytest.mark.parametrize("perturbation", ["mask", "swap", "replace"])
def test_each_copy_has_its_share_of_other_pixels_changed(perturbation: str) -> None:
    _, asked = said(SmoothVLM(copies=6, perturbation=perturbation), YES)  # type: ignore[arg-type]
    places = []
    for ask in asked:
        (image,) = ask.chat.images
        changed = (image.array() != PICTURE.array()).any(2)
        # 60 of 600; a swapped pixel may stay where it is, a random colour may be the old one.
        assert 55 <= changed.sum() <= 60
        if perturbation == "mask":
            assert changed.sum() == 60
            assert (image.array()[changed] == 0).all()
        if perturbation == "swap":
            found, expected = (sorted(each.array().reshape(-1, 3).tolist()) for each in (image, PICTURE))
            assert found == expected
        places.append(changed)
        assert ask.settings == ASK.settings
        assert ask.chat.last_text == "what is this ?"
    shared = np.mean([(a & b).sum() for k, a in enumerate(places) for b in places[:k]])
    assert 2 <= shared <= 10  # 6 expected of two draws of 60 from 600


def test_every_picture_of_a_dialogue_is_changed_and_the_same_ask_is_asked_alike() -> None:
    other = Image.from_array(255 - PICTURE.array())
    ask = Ask(Chat.user(PICTURE, other, "same ?"))
    (_, first), (_, again) = (said(SmoothVLM(copies=2), YES, ask=ask) for _ in range(2))
    assert [a.chat for a in first] == [a.chat for a in again]
    for asked in first:
        one, two = asked.chat.images
        assert one != PICTURE
        assert two != other
        masked = [(image.array() == 0).all(2) for image in (one, two)]
        assert not np.array_equal(*masked)


def test_a_dialogue_without_pictures_is_asked_once() -> None:
    ask = Ask(Chat.user("what is a kite ?"))
    reply, asked = said(SmoothVLM(), YES, ask=ask)
    assert asked == [ask]
    assert reply.decisions == ()


@pytest.mark.parametrize(("share", "masked"), [(0.3, 28), (0.0104, 0), (1.0, 96)])
def test_whole_pixels_are_changed(share: float, masked: int) -> None:
    x = some_pixels(1) + 0.01
    found = SmoothVLM(share=share).perturbed(x, torch.Generator().manual_seed(0))  # 12 x 8: 28.8, 0.998, 96
    assert int((found == 0).all(1).sum()) == masked


# ------------------------------------------------------------------------------------------- who looks through


@pytest.mark.parametrize("perturbation", ["mask", "swap", "replace"])
def test_gradients_equal_central_differences(perturbation: str) -> None:
    toy = OwnModule(Toy().double())
    view = SmoothVLM(share=0.3, perturbation=perturbation, draws=3).opened(toy)  # type: ignore[arg-type]
    x, way = some_pixels().double(), torch.randn(2, 3, 12, 8, generator=torch.Generator().manual_seed(1)).double()
    prepared = view.prepare(PAIRS)
    with drawing([1, 2], 3):
        grad = view.loss_and_grad(x, prepared).pixels
        ahead, behind = (view.loss_and_grad(x + h * way, prepared, need_grad=False).loss for h in (1e-6, -1e-6))
    torch.testing.assert_close((grad * way).flatten(1).sum(1), (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-7)
    assert view.draws == 3
