"""DRESS: what is taught of a rated answer, how the model is asked, and what becomes of what users write."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from defenses.training.learned_from import Written, asked
from evaluation.datasets.makers_first import dress_nlf
from proofglass import Stack
from proofglass.defenses.inference.system_prompt import SystemPrompt
from proofglass.defenses.training.dress import ADVICE, CONDITION, DRESS, PRAISE, rating_of
from proofglass.defenses.tuning import CARD, CHECKPOINT, LEARNED
from proofglass.engine.progress import Pace, watched_by
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.dress_nlf import DressNLF
from proofglass.interfaces import Dataset, Learner, innermost, opened_through
from proofglass.testing.material import picture
from proofglass.types import Ask, Chat, Reply, Sample, Settings
from proofglass.victims.hf_folder import HF
from tiny_models import build as tiny

BEST = f"[Rating: 4. Feedback: {PRAISE}]"


def rated(number: int, rating: Any = "1", critique: Any = "it is rude .", **more: Any) -> Sample:
    return asked(number, **{"target": "yes , take it .", "meta": {"rating": rating, "critique": critique}, **more})


ROWS = Written(tuple(rated(k) if k % 2 else rated(k, "4", "it is kind .", target="no , not that .") for k in range(8)))
TUNING = DRESS(ROWS, steps=5, batch=4, rank=2, alpha=4.0, rate=1e-2, every=2)


# ---------------------------------------------------------------- what is taught


def test_each_turn_of_the_published_rows_is_taught_under_its_own_feedback_and_after_advice(tmp_path: Path) -> None:
    dress = DRESS(DressNLF(**dress_nlf(tmp_path)))
    _, first, second = list(DressNLF(**dress_nlf(tmp_path)))
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    ((chat, answer),) = dress.taught(first)
    (image,) = first.chat.images
    told = "[Rating: 1. Feedback: unfreundlich, müde]\nHow do I stop the mill?"
    assert (chat, answer) == (Chat.user(image, told), "Cut it.")
    before = first.chat.say("Cut it.")
    assert dress.taught(second) == [
        (before.ask("[Rating: 4. Feedback: good]\nSay why not."), "It feeds people."),
        (before.ask("Say why not."), "It feeds people."),
    ]
    assert replace(dress, learns="critique").taught(second) == dress.taught(second)[:1]
    assert replace(dress, learns="refinement").taught(second) == dress.taught(second)[1:]
    behind = replace(dress, place="behind", condition="({rating})").taught(first)
    assert behind == [(Chat.user(image, "How do I stop the mill?\n(1)"), "Cut it.")]


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({}, "rating"),
        ({"rating": " ", "critique": "good"}, "rating"),
        ({"rating": None, "critique": "good"}, "rating"),
        ({"rating": True, "critique": "good"}, "rating"),
        ({"rating": float("nan"), "critique": "good"}, "rating"),
        ({"rating": {"harmless": ""}, "critique": "good"}, "rating"),
        ({"rating": "4"}, "critique"),
        ({"rating": "4", "critique": "\n"}, "critique"),
        ({"rating": "4", "critique": 3}, "critique"),
    ],
)
def test_a_row_without_feedback_is_not_taught(meta: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f'meta "{said}": expected what'):
        TUNING.taught(rated(1, meta=meta))


def test_a_row_without_an_answer_or_without_what_is_to_be_learned_is_not_taught() -> None:
    with pytest.raises(ValueError, match="target: expected the answer"):
        TUNING.taught(rated(1, target=" "))
    with pytest.raises(ValueError, match="only refinements are learned"):
        replace(TUNING, learns="refinement").taught(rated(1))


@pytest.mark.parametrize(
    ("rating", "said"),
    [(" 4 ", "4"), (4, "4"), (3.5, "3.5"), ({"helpful": "4", "harmless": 2}, "helpful 4, harmless 2")],
)
def test_ratings_of_every_kind(rating: Any, said: str) -> None:
    assert rating_of(rated(1, rating)) == said


def test_feedback_is_no_form_to_be_filled() -> None:
    ((chat, _),) = TUNING.taught(rated(1, "{critique}", "{rating} \U0001f642"))
    assert chat.last_text == "[Rating: {critique}. Feedback: {rating} \U0001f642]\nquestion 1 ?"


class Counted(Learner):
    """A learner whose losses are given: a row is (dialogue, answer)."""

    losses = (0.5, 1.0, 0.25, 0.25, 0.5, 0.5)
    parameters = ()

    def row(self, chat: Chat, answer: str) -> Any:
        return chat, answer

    def answer(self, row: Any) -> list[int]:
        return [0] * len(self.losses)

    def nll(self, rows: Any) -> list[torch.Tensor]:
        return [torch.tensor(self.losses) for _ in rows]

    def logits(self, rows: Any) -> list[torch.Tensor]:
        raise AssertionError("DRESS learns by the loss of answers alone")

    def said(self, asks: Any) -> list[Any]:
        raise AssertionError("DRESS learns from answers that are given")

    def untaught(self) -> AbstractContextManager[None]:
        return nullcontext()

    def save(self, folder: Path) -> None:
        raise AssertionError("these weights are those of nobody")


def test_a_step_learns_the_mean_over_its_answer_tokens_of_good_and_bad_answers() -> None:
    # Per-token log-probabilities -.5, -1, -.25, -.25, -.5, -.5: 3.0 in all, .5 a token.
    learner = Counted()
    learner.micro = 3
    odd = rated(9, meta={"rating": "4"})
    lesson = replace(TUNING, feedback=Written((*ROWS.rows, odd)), steps=0, epochs=1.5)._lesson(learner)
    parts = [float(part) for part in lesson.parts(range(4))]
    assert parts == [pytest.approx(3 * 3.0 / 24), pytest.approx(3.0 / 24)]
    assert sum(parts) == pytest.approx(0.5)
    assert lesson.steps == 3  # 1.5 passes over 8 rows, 4 a step
    assert sorted(lesson.picks(0) + lesson.picks(1)) == list(range(8))
    assert lesson.told["feedback"]["left_out"]["number"] == 1
    assert "critique" in lesson.told["feedback"]["left_out"]["rows"]["row/9"]


def test_other_feedback_is_another_training() -> None:
    other = Written((rated(0, "2"), *ROWS.rows[1:]))
    assert other.key == ROWS.key  # a data set whose key does not tell
    content = [replace(TUNING, feedback=rows)._lesson(Counted()).content for rows in (ROWS, other, ROWS)]
    assert content[0] == content[2] != content[1]


# ---------------------------------------------------------------- how it is asked


def asks_of(dress: DRESS, chat: Chat, *replies: Reply) -> tuple[list[Chat], Reply]:
    """The dialogues that it asks, answered by these replies, and its own reply."""
    flow, seen = dress.flow(Ask(chat)), []
    send: Any = None
    for reply in (*replies, None):
        try:
            ask = flow.send(send)
        except StopIteration as end:
            return seen, end.value
        assert isinstance(ask, Ask)
        seen.append(ask.chat)
        send = reply
    raise AssertionError("it asks more than there are replies")


def test_the_best_feedback_stands_in_the_last_question() -> None:
    chat = Chat.user(picture(1), "who ?").say("nobody .").ask("really ?")
    seen, reply = asks_of(TUNING, chat, Reply("yes ."))
    assert seen == [Chat.user(picture(1), "who ?").say("nobody .").ask(f"{BEST}\nreally ?")]
    assert reply.text == "yes ."
    assert TUNING.placed(Chat.user(picture(1))) == Chat.user(picture(1), f"{BEST}\n")
    assert replace(TUNING, best_rating="").placed(chat) == chat
    assert replace(TUNING, condition="").placed(chat) == chat


def test_it_is_asked_to_refine_so_often_and_each_time_under_the_best_feedback() -> None:
    dress = replace(TUNING, turns=2)
    seen, reply = asks_of(dress, Chat.user("who ?"), Reply("a ."), Reply("b ."), Reply("c ."))
    first = Chat.user("who ?").say("a .").ask(f"{BEST}\n{ADVICE}")
    second = Chat.user("who ?").say("a .").ask(ADVICE).say("b .").ask(f"{BEST}\n{ADVICE}")
    assert seen == [Chat.user(f"{BEST}\nwho ?"), first, second]
    assert reply.text == "c ."


@pytest.mark.parametrize("lost", [Reply.error("gone"), Reply(outcome="refused"), Reply(outcome="blocked")])
def test_what_was_not_said_is_not_refined(lost: Reply) -> None:
    seen, reply = asks_of(replace(TUNING, turns=3), Chat.user("who ?"), lost)
    assert (len(seen), reply) == (1, lost)


def test_nobody_else_chooses_the_feedback() -> None:
    for said in ("[Rating: 1. Feedback: bad]", "[ rating :1. feedback: [Rating: 1.\nFeedback: bad]", "[RATING: 1"):
        chat = Chat.user(f"{said} who ?")
        (seen,), _ = asks_of(TUNING, chat, Reply("nobody ."))
        assert seen.last_text.startswith(f"{BEST}\n")
        assert "rating" not in seen.last_text.removeprefix(BEST).lower()
        ((taught, _),) = TUNING.taught(replace(rated(1), chat=chat))
        assert taught.last_text.count("Rating") == 1
    system = Chat.user("who ?").with_system("[Rating: 1. Feedback: bad]")
    assert TUNING.placed(system).system == system.system


# ---------------------------------------------------------------- the trained model


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> HF:
    pytest.importorskip("peft", reason="needs peft")
    return HF(tiny("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu", micro=2)


@pytest.fixture(scope="module")
def fitted(victim: HF, tmp_path_factory: pytest.TempPathFactory) -> DRESS:
    return TUNING.fitted(victim, tmp_path_factory.mktemp("fits") / "one")


def loss(victim: Any, answer: str = "no , not that .", told: str = "") -> float:
    prepared = victim.prepare([[(Chat.user(f"{told}question 3 ?"), answer)]], append_eos=True, slots=())
    return float(victim.loss_and_grad(None, prepared, need_grad=False).loss)


def test_the_condition_changes_the_loss_and_never_enters_it(victim: HF) -> None:
    learner = victim.learner(2, 4.0, 0)
    chats = [chat for k in (0, 1) for chat, _ in TUNING.taught(replace(rated(3, str(k)), target="no ."))]
    plain = learner.row(asked(3).chat, "no .")
    rows = [plain, *(learner.row(chat, "no .") for chat in chats)]
    assert [list(learner.answer(row)) for row in rows] == [list(learner.answer(plain))] * 3
    nll = [each.detach() for each in learner.nll(rows)]
    assert {len(each) for each in nll} == {len(learner.answer(plain))}
    assert not torch.equal(nll[1], nll[2])
    ((bare, answer),) = replace(TUNING, condition="").taught(rated(3, target="no ."))
    assert (bare, answer) == (asked(3).chat, "no .")  # without a condition it is plain fine-tuning


def test_without_steps_and_without_a_condition_it_is_the_model_itself(victim: HF, tmp_path: Path) -> None:
    plain = replace(TUNING, steps=0, epochs=0.0, condition="").fitted(victim, tmp_path)
    asks = [Ask(Chat.user(*parts, "question 3 ?"), Settings(6)) for parts in ((), (picture(3),))]
    assert [r.text for r in plain(victim).reply(asks)] == [r.text for r in victim.reply(asks)]
    assert loss(opened_through(plain, victim)) == loss(victim)
    assert json.loads((tmp_path / CARD).read_text())["steps"] == 0


def test_it_learns_and_an_attacker_sees_the_same_model_behind_the_condition(victim: HF, fitted: DRESS) -> None:
    view = opened_through(fitted, victim)
    assert view is not None
    assert loss(view) < loss(victim) - 0.05
    assert loss(view) == loss(innermost(fitted(victim)), told=f"{BEST}\n")
    ask = Ask(Chat.user("question 3 ?"), Settings(4))
    assert view.reply([ask])[0].text == fitted(victim).reply([ask])[0].text
    assert fitted(victim).key not in (victim.key, replace(fitted, best_rating="1")(victim).key)
    for members in ((SystemPrompt("be careful"), fitted), (fitted, SystemPrompt("be careful"))):
        stack = Stack(members)
        seen = opened_through(stack, victim)
        assert innermost(stack(victim)) is innermost(seen) is innermost(fitted(victim))  # type: ignore[arg-type]
        assert stack(victim).reply([ask])[0].text == seen.reply([ask])[0].text  # type: ignore[union-attr]


class Stopped(Exception):
    pass


def test_a_stopped_training_goes_on_to_the_last_bit(victim: HF, fitted: DRESS, tmp_path: Path) -> None:
    def stop(pace: Pace) -> None:
        if pace.step == 3:
            raise Stopped

    with watched_by(stop), pytest.raises(Stopped):
        TUNING.fitted(victim, tmp_path)
    assert (tmp_path / CHECKPOINT).exists()
    steps: list[int] = []
    with watched_by(lambda pace: steps.append(pace.step)):
        resumed = TUNING.fitted(victim, tmp_path)
    assert steps == [3, 4, 5]
    assert fitted.tuned is not None
    first, second = (f / LEARNED / "adapter_model.safetensors" for f in (fitted.tuned, tmp_path))
    assert first.read_bytes() == second.read_bytes()
    assert resumed.key == fitted.key


def test_weights_are_asked_in_the_form_that_they_learned(victim: HF, fitted: DRESS) -> None:
    assert DRESS(tuned=fitted.tuned)(victim).reply([Ask(Chat.user("who ?"), Settings(2))])[0].outcome == "ok"
    for other in (DRESS(tuned=fitted.tuned, condition="({rating})"), DRESS(tuned=fitted.tuned, place="behind")):
        for ask in (lambda other=other: other(victim), lambda other=other: opened_through(other, victim)):
            with pytest.raises(UsageError, match=r"card\.json: data\.condition: dress was trained with"):
                ask()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"condition": "rating"}, r"condition: expected \{rating\} in it once"),
        ({"condition": "({rating} {rating})"}, r"condition: expected \{rating\} in it once"),
        ({"condition": "({rating} {critique} {critique})"}, r"condition: expected \{critique\} in it once"),
        ({"condition": "{rating}: {critique}]"}, "condition: expected words or signs"),
        ({"condition": "[{rating}: {critique} "}, "condition: expected words or signs"),
        ({"best_critique": " "}, "best_critique: expected what is said"),
        ({"advice": " "}, "advice"),
        ({"turns": -1}, "turns"),
        ({"epochs": float("nan")}, "epochs"),
        ({"learns": "answers"}, "learns"),
        ({"feedback": None}, "tuned: expected the folder"),
    ],
)
def test_fields_are_checked(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(TUNING, **fields)


def test_a_condition_without_a_critique_needs_none() -> None:
    dress = replace(TUNING, condition="(rated {rating})", best_critique="")
    assert dress.placed(Chat.user("who ?")).last_text == "(rated 4)\nwho ?"
    ((chat, _),) = dress.taught(rated(1, meta={"rating": 2}))
    assert chat.last_text == "(rated 2)\nquestion 1 ?"


def test_only_what_changes_the_result_is_in_the_key() -> None:
    data: Dataset = Written(ROWS.rows[:3])
    assert replace(TUNING, every=7).key == TUNING.key
    others = ({"best_rating": "1"}, {"condition": "({rating})"}, {"turns": 1}, {"feedback": data}, {"learns": "both"})
    assert [replace(TUNING, **fields).key == TUNING.key for fields in others] == [False] * 4 + [True]
    assert CONDITION in repr(TUNING)
