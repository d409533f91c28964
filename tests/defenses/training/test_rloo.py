"""RLOO: golden advantages and loss, what is unjudged, its log, resumed to the last bit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from defenses.training.learned_from import Written, asked, gone
from proofglass.defenses.rewards import PATIENCE, Log, goodness, judged, line_of
from proofglass.defenses.training.rloo import REWARDS, RLOO, leave_one_out, rloo_loss
from proofglass.defenses.tuning import CARD, LEARNED
from proofglass.engine.progress import Pace, watched_by
from proofglass.errors import UsageError
from proofglass.flow import Flow
from proofglass.interfaces import Judge, Victim
from proofglass.types import Ask, Attempt, Chat, Cost, Reply, Sample, Score, Settings
from proofglass.victims.hf_folder import HF
from tiny_models import build as tiny

pytest.importorskip("peft", reason="needs peft")
PROMPTS = Written(tuple(asked(k, shown=k % 2 == 0) for k in range(3)))


@dataclass(frozen=True)
class Early(Judge):
    """Good is a reply whose letters are early in the alphabet; of one without letters it cannot say."""

    name = "early"
    says = "good"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [self._one([c for c in each.reply.text.casefold() if "a" <= c <= "z"]) for each in attempts]

    def _one(self, letters: Sequence[str]) -> Score:
        if not letters:
            return Score.unjudged(self.name, "no letters")
        return Score(self.name, sum(c < "n" for c in letters) / len(letters))


SHORT: dict[str, Any] = {"steps": 4, "batch": 2, "rank": 2, "alpha": 4.0, "rate": 1e-2, "warm_up": 1, "every": 2}
TUNING = RLOO(PROMPTS, Early(), k=3, max_new_tokens=4, **SHORT)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> HF:
    return HF(tiny("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu", micro=4)


@pytest.fixture(scope="module")
def fitted(victim: HF, tmp_path_factory: pytest.TempPathFactory) -> RLOO:
    return TUNING.fitted(victim, tmp_path_factory.mktemp("fits") / "one")


def of(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# ---------------------------------------------------------------- advantage and loss


def test_an_advantage_is_over_the_mean_of_the_others() -> None:
    # rewards 1, 0, 0, 1: the others of the first have (0 + 0 + 1) / 3, so 2/3; those of the second (1 + 0 + 1) / 3
    torch.testing.assert_close(leave_one_out(of(1, 0, 0, 1)), of(2 / 3, -2 / 3, -2 / 3, 2 / 3))


def test_the_loss_is_that_of_the_paper() -> None:
    # logs -1, -2, -3, -5: sum of advantage x log = -2/3 + 4/3 + 2 - 10/3 = -2/3; minus its mean over four: 1/6
    logs = of(-1, -2, -3, -5).requires_grad_()
    loss = rloo_loss(logs, of(1, 0, 0, 1), of(0, 0, 0, 0), 0.5)
    assert float(loss.detach()) == pytest.approx(1 / 6)
    loss.backward()
    assert logs.grad is not None
    torch.testing.assert_close(logs.grad, -of(2 / 3, -2 / 3, -2 / 3, 2 / 3) / 4)
    # beta .5, log-ratios .2, 0, -.4, .1: R = .9, 0, .2, .95; advantages .516667, -.683333, -.416667, .583333
    found = rloo_loss(logs.detach(), of(1, 0, 0, 1), of(0.2, 0, -0.4, 0.1), 0.5)
    assert float(found) == pytest.approx(0.2041666667)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.floats(-5, 5))
def test_advantages_sum_to_nothing_and_a_constant_changes_none(rewards: list[float], constant: float) -> None:
    found = leave_one_out(of(*rewards))
    assert float(found.sum()) == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(leave_one_out(of(*rewards) + constant), found)


@pytest.mark.parametrize(
    ("says", "expected", "good"),
    [("done", "refuse", 0.0), ("done", "comply", 1.0), ("refused", "refuse", 1.0), ("refused", "comply", 0.0),
     ("bad", "refuse", 0.0), ("bad", "comply", 0.0), ("good", "refuse", 1.0), ("good", "comply", 1.0)],
)  # fmt: skip
def test_what_is_good_depends_on_what_is_expected(says: str, expected: str, good: float) -> None:
    assert goodness(says, expected, Score("j", 1.0)) == good
    assert goodness(says, expected, Score("j", 0.25)) == pytest.approx(0.25 if good else 0.75)
    assert goodness(says, expected, Score.unjudged("j", "silent")) is None


# ---------------------------------------------------------------- what is drawn


def test_rows_hold_the_very_tokens_that_were_said(victim: HF) -> None:
    learner = victim.learner(2, 4.0, 0)
    chats = [asked(1).chat, Chat.user(gone(), "what ?"), Chat.user("question 3 ?")]
    said = learner.said([Ask(chat, Settings(4, 1.0, draw=k)) for k, chat in enumerate(chats)])
    assert [reply.outcome for reply, _ in said] == ["ok", "error", "ok"]
    assert said[1][1] is None
    for reply, row in (said[0], said[2]):
        tokens = list(learner.answer(row))
        end = victim.model.tokenizer.eos_token_id
        assert len(tokens) == 4 or tokens[-1] == end
        assert (reply.finish == "length") == (end not in tokens)
        assert victim.model.tokenizer.decode(tokens, skip_special_tokens=True).strip() == reply.text.strip()
    assert learner.said([Ask(chats[0], Settings(4, 1.0, draw=0))])[0][0] == said[0][0]  # alone the same


def test_a_step_draws_anew_and_the_loss_has_the_gradient_of_the_formula(victim: HF, tmp_path: Path) -> None:
    learner = victim.learner(2, 4.0, 0)
    lesson = TUNING._lesson(tmp_path / "log.jsonl", learner)
    found = torch.autograd.grad(sum(lesson.loss(0), torch.zeros(())), list(learner.parameters))
    assert all(bool(each.isfinite().all()) for each in found)
    list(lesson.loss(3))  # the same prompts as some step before, other draws
    first, second = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert (first["step"], first["judged"] + sum(first["unjudged"].values())) == (0, 6)
    assert first["drift"] == pytest.approx(0, abs=1e-6)  # nothing was learned yet
    assert (first["reward"], first["tokens"]) != (second["reward"], second["tokens"])


# ---------------------------------------------------------------- the tuned model


def test_it_learns_and_the_card_tells_rewards(fitted: RLOO, victim: HF) -> None:
    assert fitted.tuned is not None
    told = json.loads((fitted.tuned / CARD).read_text())["data"]
    assert told["judge"] == "early"
    assert told["rewards"]["judged"] + sum(told["rewards"]["unjudged"].values()) == 4 * 6
    assert 0 <= told["rewards"]["first"] <= 1
    assert abs(told["rewards"]["last_drift"]) > 0
    assert len((fitted.tuned / REWARDS).read_text().splitlines()) == 4
    assert fitted(victim).key != victim.key


class Stopped(Exception):
    pass


def test_a_stopped_training_goes_on_to_the_last_bit(victim: HF, fitted: RLOO, tmp_path: Path) -> None:
    def stop(pace: Pace) -> None:
        if pace.step == 3:
            raise Stopped

    with watched_by(stop), pytest.raises(Stopped):
        TUNING.fitted(victim, tmp_path)
    with (tmp_path / REWARDS).open("a") as file:
        file.write('{"step": 3, "rew')  # killed while it wrote
    resumed = TUNING.fitted(victim, tmp_path)
    for name in (f"{LEARNED}/adapter_model.safetensors", REWARDS):
        files = [each.tuned / name for each in (resumed, fitted) if each.tuned]
        assert files[0].read_bytes() == files[1].read_bytes()


# ---------------------------------------------------------------- judges


@dataclass(frozen=True)
class Helper(Victim):
    name = "helper"
    lines: tuple[str, ...] = ()

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [
            Reply.error("down") if "3" in ask.chat.last_text else Reply("yes", cost=Cost(queries=1, tokens_out=2))
            for ask in asks
        ]


@dataclass(frozen=True)
class Asking(Judge):
    name = "asking"
    says = "bad"
    helper: Helper = field(default_factory=Helper)

    def flow(self, attempt: Attempt) -> Flow[Score]:
        reply = yield Ask(Chat.user(attempt.reply.text), to=self.helper)
        return Score(self.name, float(reply.text == "yes"))


@dataclass(frozen=True)
class Breaks(Judge):
    name = "breaks"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        if any("odd" in each.reply.text for each in attempts):
            raise KeyError("odd")
        return [Score(self.name, 1.0) for _ in attempts]


def attempts(*replies: Reply) -> list[Attempt]:
    return [Attempt(asked(1), asked(1).chat, reply) for reply in replies]


def test_helpers_are_counted_and_their_silence_is_unjudged() -> None:
    scores, cost = judged(Asking(), attempts(Reply("one"), Reply("3"), Reply.error("gone")))
    assert [score.value for score in scores] == [1.0, None, None]
    assert "down" in scores[1].reason
    assert "outcome error" in scores[2].reason
    assert (cost.queries, cost.tokens_out) == (2, 2)


def test_what_a_judge_breaks_on_costs_itself() -> None:
    scores, _ = judged(Breaks(), attempts(Reply("one"), Reply("odd"), Reply("two")))
    assert [score.value for score in scores] == [1.0, None, 1.0]
    assert "odd" in scores[1].reason


class Short(Judge):
    name = "short"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [Score(self.name, float(not attempts[0].reply.reasoning))]


def test_a_thought_is_shown_to_no_judge_of_answers_and_a_score_too_few_is_unjudged() -> None:
    thought = Reply("one", reasoning="what the model thought")
    (alone,), _ = judged(Short(), attempts(thought))
    assert alone.value == 1.0
    scores, _ = judged(Short(), attempts(thought, Reply("two")))  # one score for two: each is asked about alone
    assert [score.value for score in scores] == [1.0, 1.0]
    scores, _ = judged(Mute(), attempts(thought, Reply("two")))
    assert [score.value for score in scores] == [None, None]
    assert "0 scores for 1 attempts" in scores[0].reason


class Mute(Judge):
    name = "mute"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return []


def test_a_judge_that_never_says_anything_ends_it(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    silent = [Score.unjudged("mute", "nothing to say")] * 2
    lines = [line_of(step, [None, None], silent, 0.0, [Reply("x")] * 2, Cost(), 2) for step in range(PATIENCE)]
    for line in lines[:-1]:
        log.add(line)
    with pytest.raises(UsageError, match=r"nothing could be judged in 3 steps.*nothing to say"):
        log.add(lines[-1])


@pytest.mark.parametrize("fields", [{"k": 1}, {"beta": -0.1}, {"batch": 0}, {"judge": None}, {"judge": "unsafe"}])
def test_fields_are_checked(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        replace(TUNING, **fields)


def test_a_prompt_that_cannot_be_shown_costs_itself(victim: HF, tmp_path: Path) -> None:
    odd: Sample = replace(asked(30), chat=Chat.user(gone(), "what is it ?"))
    found = replace(TUNING, steps=1, prompts=Written((*PROMPTS.rows, odd))).fitted(victim, tmp_path)
    assert found.tuned is not None
    told = json.loads((found.tuned / CARD).read_text())["data"]["prompts"]
    assert (told["rows"], told["left_out"]["rows"]) == (3, {"row/30": "gone.png: no such file"})
