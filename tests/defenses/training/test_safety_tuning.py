"""Safety tuning: what is taught, in which order, resumed to the last bit, refused where it does not belong."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from defenses.training.learned_from import Written, asked, gone
from proofglass import Stack
from proofglass.defenses.inference.system_prompt import SystemPrompt
from proofglass.defenses.training.safety_tuning import SafetyTuning
from proofglass.defenses.tuning import CARD, CHECKPOINT, LEARNED
from proofglass.engine.progress import Pace, watched_by
from proofglass.errors import EnvironmentFault, UsageError
from proofglass.interfaces import Dataset, fitted_in, innermost, opened_through, rebased
from proofglass.testing.material import Scripted
from proofglass.types import Ask, BadSample, Chat, Sample, Settings
from proofglass.victims.hf_folder import HF
from tiny_models import build as tiny

pytest.importorskip("peft", reason="needs peft")
SAFETY = Written(tuple(asked(k) for k in range(7)))
HELPFUL = Written(tuple(asked(k, refuse=False) for k in range(20, 25)))
SHORT: dict[str, Any] = {"steps": 5, "batch": 4, "rank": 2, "alpha": 4.0, "rate": 1e-2, "every": 2}
TUNING = SafetyTuning(SAFETY, HELPFUL, refusals=("no , not that .", "i will not ."), **SHORT)
PAIR = (Chat.user("question 3 ?"), "no , not that .")


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> HF:
    return HF(tiny("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu", micro=2)


@pytest.fixture(scope="module")
def fitted(victim: HF, tmp_path_factory: pytest.TempPathFactory) -> SafetyTuning:
    return TUNING.fitted(victim, tmp_path_factory.mktemp("fits") / "one")


def card(folder: Path | None) -> dict[str, Any]:
    assert folder is not None
    found: dict[str, Any] = json.loads((folder / CARD).read_text())
    return found


def weights(folder: Path | None) -> bytes:
    assert folder is not None
    return (folder / LEARNED / "adapter_model.safetensors").read_bytes()


def loss(victim: Any) -> float:
    prepared = victim.prepare([[PAIR]], append_eos=True, slots=())
    return float(victim.loss_and_grad(None, prepared, need_grad=False).loss)


# ---------------------------------------------------------------- the tuned model


def test_the_model_learns_to_refuse_and_is_a_victim_of_its_own(victim: HF, fitted: SafetyTuning) -> None:
    defended = fitted(victim)
    assert isinstance(defended, HF)
    assert loss(defended) < loss(victim) - 0.05
    assert defended.key not in ("", victim.key)
    assert defended.reply([Ask(Chat.user("question 3 ?"), Settings(4))])[0].outcome == "ok"
    assert opened_through(fitted, victim) is defended  # what an attacker looks through: its very weights


def test_it_stands_innermost_wherever_it_stands_in_a_stack(victim: HF, fitted: SafetyTuning) -> None:
    prompt = SystemPrompt("be careful")
    for members in ((prompt, fitted), (fitted, prompt)):
        stack = Stack(members)
        defended, view = stack(victim), opened_through(stack, victim)
        assert innermost(defended) is innermost(view) is fitted(victim)  # type: ignore[arg-type]
        assert innermost(rebased(defended, lambda inside: Scripted() if inside is fitted(victim) else inside)) != victim
        ask = Ask(Chat.user("question 3 ?"), Settings(4))
        assert defended.reply([ask])[0].text == view.reply([ask])[0].text  # type: ignore[union-attr]


def test_a_study_has_it_learn_on_the_model_behind_other_defenses(victim: HF, tmp_path: Path) -> None:
    for members in ((SystemPrompt("be careful"), TUNING), (TUNING, SystemPrompt("be careful"))):
        found = fitted_in(Stack(members), victim, tmp_path)
        assert isinstance(found, Stack)
        (trained,) = (each for each in found.members if isinstance(each, SafetyTuning))
        assert trained.tuned is not None
        assert trained.spent["steps"] == 5
        assert trained.fits_on == ()


def test_all_weights_can_learn(victim: HF, tmp_path: Path) -> None:
    found = replace(TUNING, rank=0, rate=3e-3).fitted(victim, tmp_path / "all")
    tuned = found(victim)
    assert loss(tuned) < loss(victim) - 0.05
    assert tuned.adapter is None  # type: ignore[attr-defined]
    assert card(found.tuned)["weights"] == "all but the vision tower's"


# ---------------------------------------------------------------- what is taught


@pytest.mark.parametrize(
    ("sample", "answer"),
    [
        (asked(1, meta={"response": "that is private ."}), "that is private ."),
        (asked(1, meta={"response": "  "}), "i will not ."),
        (asked(1, meta={"response": 3}), "i will not ."),
        (asked(1, references=("sure , first ...",)), "i will not ."),  # never what an attack wants said
        (asked(1, refuse=False, meta={"response": "a kite ."}), "a kite ."),
        (asked(1, refuse=False), "take clay ."),
        (asked(1, refuse=False, references=("", " "), target="glue it ."), "glue it ."),
    ],
)
def test_the_answer_that_is_taught(sample: Sample, answer: str) -> None:
    assert replace(TUNING, refusals=("i will not .",)).taught(sample) == answer


def test_every_refusal_is_drawn_and_a_row_keeps_its_own() -> None:
    drawn = Counter(TUNING.taught(asked(k)) for k in range(60))
    assert set(drawn) == set(TUNING.refusals)
    assert min(drawn.values()) > 15
    assert [TUNING.taught(asked(k)) for k in range(60)] == [TUNING.taught(asked(k)) for k in range(60)]


def test_a_row_without_an_answer_is_left_out_with_its_reason() -> None:
    with pytest.raises(ValueError, match="no answer to teach"):
        TUNING.taught(asked(1, refuse=False, references=(), target=""))


def test_rows_that_cannot_be_used_cost_themselves_and_the_card_names_them(victim: HF, tmp_path: Path) -> None:
    odd = (
        asked(29, shown=False, meta={"response": "half of a pair \ud83d"}),
        replace(asked(30), chat=Chat.user(gone(), "what is it ?")),
        asked(31, shown=False, meta={"response": "x" * 300}),
        BadSample("row/32", "written", "line 32: no question"),
        asked(33, meta={"response": "né \U0001f642 ."}),
    )
    found = replace(TUNING, safety=Written((*SAFETY.rows, *odd))).fitted(victim, tmp_path)
    told = card(found.tuned)["data"]["safety"]
    assert told["rows"] == 8
    assert told["left_out"]["number"] == 4
    assert told["left_out"]["rows"]["row/30"] == "gone.png: no such file"
    assert "too long for the model" in told["left_out"]["rows"]["row/31"]
    assert told["left_out"]["rows"]["row/32"] == "line 32: no question"


@pytest.mark.parametrize("rows", [(), (BadSample("row/1", "written", "line 1: no question"),)])
def test_nothing_to_learn_from_is_one_line(victim: HF, tmp_path: Path, rows: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError, match=r"safety-tuning\.safety: written: no row to learn from, \d left out"):
        replace(TUNING, safety=Written(rows)).fitted(victim, tmp_path / "f")
    with pytest.raises(UsageError, match=r"safety-tuning\.helpful: written: no row to learn from"):
        replace(TUNING, helpful=Written(rows)).fitted(victim, tmp_path / "f")
    assert not (tmp_path / "f" / CARD).exists()


def test_judged_rows_are_never_learned_from(victim: HF, tmp_path: Path) -> None:
    data = Written(SAFETY.rows, judged=(asked(90), asked(91)))
    told = card(replace(TUNING, safety=data).fitted(victim, tmp_path).tuned)["data"]["safety"]
    assert told["rows"] == 7


@pytest.mark.parametrize(("number", "diversity", "kinds"), [(0, 0, 3), (0, 1, 1), (3, 0, 3), (3, 2, 2), (99, 99, 3)])
def test_number_and_diversity_choose_rows_evenly(victim: HF, number: int, diversity: int, kinds: int) -> None:
    rows = tuple(asked(k) for k in range(30))  # ten of each of three kinds
    tuning = replace(TUNING, safety=Written(rows), helpful=None, number=number, diversity=diversity)
    lesson = tuning._lesson(victim.learner(2, 4.0, 0))
    chosen = Counter(int(name.split("/")[1]) % 3 for name in lesson.names)
    assert len(chosen) == kinds
    assert max(chosen.values()) - min(chosen.values()) <= 1
    assert chosen.total() == min(number or 30, 10 * kinds)
    others = replace(tuning, seed=1)._lesson(victim.learner(2, 4.0, 0))
    assert number in (0, 99) or list(others.names) != list(lesson.names)


def test_without_categories_diversity_counts_clusters(victim: HF) -> None:
    rows = tuple(asked(k, category="", cluster=f"question {k % 5}") for k in range(20))
    tuning = replace(TUNING, safety=Written(rows), helpful=None, diversity=2)
    names = tuning._lesson(victim.learner(2, 4.0, 0)).names
    assert len(names) == 8
    assert len({int(name.split("/")[1]) % 5 for name in names}) == 2


def test_steps_come_from_passes_over_the_safety_rows(victim: HF) -> None:
    tuning = replace(TUNING, steps=0, epochs=2.0, share=0.5)
    assert tuning._lesson(victim.learner(2, 4.0, 0)).steps == 7  # 2 x 7 rows, 2 of 4 in each step
    assert replace(tuning, helpful=None)._lesson(victim.learner(2, 4.0, 0)).steps == 4  # all 4 in each


# ---------------------------------------------------------------- stopped, finished, of something else


class Stopped(Exception):
    pass


@pytest.mark.parametrize(("after", "first"), [(1, 1), (3, 3), (4, 3)])
def test_a_stopped_training_goes_on_to_the_last_bit(
    victim: HF, fitted: SafetyTuning, tmp_path: Path, after: int, first: int
) -> None:
    def stop(pace: Pace) -> None:
        if pace.step == after:
            raise Stopped

    with watched_by(stop), pytest.raises(Stopped):
        TUNING.fitted(victim, tmp_path)
    assert not (tmp_path / CARD).exists()
    assert (tmp_path / CHECKPOINT).exists() == (after > 2)
    steps: list[int] = []
    with watched_by(lambda pace: steps.append(pace.step)):
        resumed = TUNING.fitted(victim, tmp_path)
    assert steps == list(range(first, 6))
    assert weights(resumed.tuned) == weights(fitted.tuned)
    assert resumed.key == fitted.key
    assert not (tmp_path / CHECKPOINT).exists()


def test_what_is_finished_is_taken_as_it_is(victim: HF, fitted: SafetyTuning) -> None:
    assert fitted.tuned is not None
    before = (fitted.tuned / CARD).read_bytes()

    def never(pace: Pace) -> None:
        raise AssertionError("a step was made")

    with watched_by(never):
        again = TUNING.fitted(victim, fitted.tuned)
    assert again == fitted
    assert (fitted.tuned / CARD).read_bytes() == before
    told = card(fitted.tuned)
    assert (told["steps"], told["rows_seen"], told["seed"], told["passes"]) == (5, 20, 0, round(20 / 12, 4))
    assert told["hours"] >= 0
    assert fitted.fitted(victim, Path("elsewhere")) is fitted  # it names what it has learned


def test_a_checkpoint_of_other_rows_is_not_gone_on_with(
    victim: HF, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(pace: Pace) -> None:
        if pace.step == 3:
            raise Stopped

    with watched_by(stop), pytest.raises(Stopped):
        TUNING.fitted(victim, tmp_path)
    changed = Written((*SAFETY.rows[:-1], asked(6, meta={"response": "that is sealed ."})))
    assert changed.key == SAFETY.key  # a data set whose key does not tell
    steps: list[int] = []
    with watched_by(lambda pace: steps.append(pace.step)), caplog.at_level(logging.WARNING, "proofglass"):
        replace(TUNING, safety=changed).fitted(victim, tmp_path)
    assert steps == [1, 2, 3, 4, 5]
    assert "of another training" in caplog.text


def spoiled(fitted: SafetyTuning, folder: Path, spoil: str) -> Path:
    assert fitted.tuned is not None
    shutil.copytree(fitted.tuned, folder)
    told = card(folder)
    if spoil == "model":
        told["model"]["key"] = "0" * 16
    if spoil == "defense":
        told["defense"] = "dpo"
    if spoil == "lacks":
        del told["settings"]
    (folder / CARD).write_text("[1" if spoil == "text" else "null" if spoil == "null" else json.dumps(told))
    if spoil == "weights":
        file = folder / LEARNED / "adapter_model.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    if spoil == "no weights":
        shutil.rmtree(folder / LEARNED)
    if spoil == "no card":
        (folder / CARD).unlink()
    return folder


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("model", "model: it was trained on"),
        ("defense", "defense: it was another defense"),
        ("weights", "learned: its weights were changed"),
        ("no weights", "learned: its weights were changed"),
        ("lacks", "lacks settings"),
        ("text", "cannot be read as a card"),
        ("null", "cannot be read as a card"),
        ("no card", "cannot be read as a card"),
    ],
)
def test_a_folder_of_something_else_is_refused(
    victim: HF, fitted: SafetyTuning, tmp_path: Path, spoil: str, said: str
) -> None:
    folder = spoiled(fitted, tmp_path / "f", spoil)
    named = SafetyTuning(tuned=folder)
    for ask in (lambda: named(victim), lambda: opened_through(named, victim)):
        with pytest.raises(UsageError, match=rf"card\.json: .*{said}"):
            ask()
    if spoil not in ("no card", "no weights"):
        with pytest.raises(UsageError, match=said):
            TUNING.fitted(victim, folder)


def test_another_model_or_other_settings_are_refused(victim: HF, fitted: SafetyTuning, tmp_path: Path) -> None:
    assert fitted.tuned is not None
    other = HF(tiny("llava", tmp_path / "llava", seed=5), device="cpu")
    with pytest.raises(UsageError, match="model: it was trained on"):
        fitted(other)
    with pytest.raises(UsageError, match="settings: it was trained with other settings or data"):
        replace(TUNING, rate=2e-2).fitted(victim, fitted.tuned)


def test_a_name_in_a_study_is_enough_for_what_was_trained(victim: HF, fitted: SafetyTuning) -> None:
    named = SafetyTuning(tuned=fitted.tuned)
    assert named(victim) is fitted(victim)
    assert named.fits_on == ()


def test_untrained_or_before_a_model_of_replies_it_is_one_line(victim: HF, tmp_path: Path) -> None:
    for ask in (lambda: TUNING(victim), lambda: opened_through(TUNING, victim)):
        with pytest.raises(UsageError, match="safety-tuning: has not learned about this victim yet"):
            ask()
    with pytest.raises(UsageError, match=r"safety-tuning: .*gives replies only"):
        TUNING.fitted(Scripted(), tmp_path)
    with pytest.raises(ValueError, match="tuned: expected the folder"):
        SafetyTuning()


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_learned(victim: HF, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    def never(pace: Pace) -> None:
        raise AssertionError("a step was made")

    with watched_by(never), pytest.raises(EnvironmentFault, match="file: what was learned cannot be written"):
        TUNING.fitted(victim, tmp_path / "file")


def test_a_loss_that_is_no_number_names_the_rows(victim: HF, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from proofglass.victims.hf.learner import HFLearner

    calls = 0
    nll = HFLearner.nll

    def odd(self: HFLearner, rows: Any) -> list[torch.Tensor]:
        nonlocal calls
        calls += 1
        return [each * float("nan") if calls > 6 else each for each in nll(self, rows)]

    monkeypatch.setattr(HFLearner, "nll", odd)
    with pytest.raises(UsageError, match=r"step 4: loss nan.*rows row/\d+, row/.*checkpoint\.safetensors"):
        TUNING.fitted(victim, tmp_path)
    monkeypatch.setattr(HFLearner, "nll", nll)
    steps: list[int] = []
    with watched_by(lambda pace: steps.append(pace.step)):
        TUNING.fitted(victim, tmp_path)
    assert steps == [3, 4, 5]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"share": 0.0}, "share"),
        ({"share": float("nan")}, "share"),
        ({"refusals": ()}, "refusals"),
        ({"refusals": (" ",)}, "refusals"),
        ({"rank": -1}, "rank"),
        ({"rate": 0.0}, "rate"),
        ({"order": "beside"}, "order"),
        ({"epochs": True}, "epochs"),
        ({"safety": "vlguard"}, "safety"),
    ],
)
def test_fields_are_checked(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(TUNING, **fields)


def test_only_what_changes_the_result_is_in_the_key(fitted: SafetyTuning) -> None:
    assert replace(TUNING, every=7).key == TUNING.key
    assert replace(TUNING, seed=1).key != TUNING.key != fitted.key
    data: Dataset = Written(SAFETY.rows[:3])
    assert replace(TUNING, safety=data).key != TUNING.key
