"""DPO: golden losses, pairs that are none, a reference that does not learn, resumed to the last bit."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from defenses.training.learned_from import Written, asked, gone, preference
from proofglass.defenses.training.dpo import DPO, preference_loss, replies_of
from proofglass.defenses.tuning import CARD, LEARNED
from proofglass.engine.progress import Pace, watched_by
from proofglass.errors import UsageError
from proofglass.interfaces import opened_through
from proofglass.types import BadSample, Chat, Sample
from proofglass.victims.hf_folder import HF
from tiny_models import build as tiny

pytest.importorskip("peft", reason="needs peft")
PAIRS = Written(tuple(preference(k, "no , not that .", f"yes , take clay {k} .") for k in range(5)))
SHORT: dict[str, Any] = {"steps": 6, "batch": 3, "rank": 2, "alpha": 4.0, "rate": 1e-2, "warm_up": 1, "every": 2}
TUNING = DPO(PAIRS, **SHORT)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> HF:
    return HF(tiny("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu", micro=2)


@pytest.fixture(scope="module")
def fitted(victim: HF, tmp_path_factory: pytest.TempPathFactory) -> DPO:
    return TUNING.fitted(victim, tmp_path_factory.mktemp("fits") / "one")


def of(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def margin(victim: Any, sample: Sample) -> float:
    """By how much the chosen reply is likelier than the rejected one."""
    chats = [(sample.chat, reply) for reply in replies_of(sample)]
    prepared = victim.prepare([[pair] for pair in chats], append_eos=True, slots=())
    chosen, rejected = victim.loss_and_grad(None, prepared, weighting="sum", need_grad=False).loss.tolist()
    return float(rejected - chosen)


# ---------------------------------------------------------------- the loss


def test_the_loss_is_that_of_the_paper() -> None:
    # policy (-12, -15), reference (-13, -14), beta .1: z = .1 (1 - (-1)) = .2, -log sigmoid(.2) = .5981389
    found = preference_loss(of(-12 + 13), of(-15 + 14), 0.1)
    torch.testing.assert_close(found, of(0.5981388693815918))
    # e = .1: .9 x .5981389 + .1 x .7981389
    torch.testing.assert_close(preference_loss(of(1), of(-1), 0.1, 0.1), of(0.6181388693815918))
    torch.testing.assert_close(preference_loss(of(0), of(0), 0.1), of(math.log(2)))
    assert float(preference_loss(of(-1e4), of(1e4), 1.0)) == pytest.approx(2e4)  # no overflow


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0.01, 2), st.floats(0, 0.49))
def test_exchanged_replies_exchange_the_smoothing(a: float, b: float, beta: float, smoothing: float) -> None:
    one, other = preference_loss(of(a), of(b), beta, smoothing), preference_loss(of(b), of(a), beta, 1 - smoothing)
    torch.testing.assert_close(one, other)
    assert float(one) >= 0


def test_a_step_has_the_gradient_of_the_formula(victim: HF) -> None:
    # At the start both models are one: z = 0, so the gradient is -beta / 2 that of log p(chosen) - log p(rejected).
    learner = victim.learner(2, 4.0, 0)
    lesson = replace(TUNING, batch=5)._lesson(learner)
    total = sum(lesson.parts(range(5)), torch.zeros(()))
    assert float(total.detach()) == pytest.approx(math.log(2), abs=1e-6)
    found = torch.autograd.grad(total, list(learner.parameters))
    rows = [[learner.row(s.chat, text) for text in replies_of(s)] for s in PAIRS.rows if isinstance(s, Sample)]
    logs = torch.stack([learner.nll([r])[0].sum() - learner.nll([c])[0].sum() for c, r in rows])
    expected = torch.autograd.grad(-0.1 / 2 * logs.mean(), list(learner.parameters))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


# ---------------------------------------------------------------- the tuned model


def test_the_preferred_replies_become_likelier_than_the_others(victim: HF, fitted: DPO) -> None:
    tuned = fitted(victim)
    for sample in PAIRS.rows:
        assert isinstance(sample, Sample)
        assert margin(tuned, sample) > margin(victim, sample) + 0.5
    assert tuned.key != victim.key
    assert opened_through(fitted, victim) is tuned


def test_all_weights_learn_against_the_model_as_it_was(victim: HF, tmp_path: Path) -> None:
    tuned = replace(TUNING, rank=0, rate=1e-3).fitted(victim, tmp_path)(victim)
    sample = PAIRS.rows[0]
    assert isinstance(sample, Sample)
    assert margin(tuned, sample) > margin(victim, sample) + 0.5


# ---------------------------------------------------------------- pairs that are none


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (preference(9, "yes .", "yes ."), "the same text"),
        (preference(9, " yes .", "yes . "), "the same text"),
        (preference(9, "", "yes ."), "the preferred reply"),
        (asked(9, references=()), "the preferred reply"),
        (asked(9, references=("no .",)), 'meta "rejected"'),
        (asked(9, references=("no .",), meta={"rejected": None}), 'meta "rejected".*None'),
        (asked(9, references=("no .",), meta={"rejected": ["yes"]}), 'meta "rejected".*yes'),
        (asked(9, references=("no .",), meta={"rejected": "  "}), 'meta "rejected"'),
    ],
)
def test_a_row_without_two_different_replies_is_none(sample: Sample, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replies_of(sample)


def test_such_rows_are_counted_and_named(victim: HF, tmp_path: Path) -> None:
    odd = (
        preference(30, "yes .", "yes ."),
        replace(preference(31), chat=Chat.user(gone(), "what is it ?")),
        BadSample("row/32", "written", "line 32: no question"),
        preference(33, "no .", "x" * 400),
    )
    found = replace(TUNING, pairs=Written((*PAIRS.rows, *odd))).fitted(victim, tmp_path)
    assert found.tuned is not None
    told = json.loads((found.tuned / CARD).read_text())["data"]["pairs"]
    assert (told["rows"], told["left_out"]["number"]) == (5, 4)
    assert set(told["left_out"]["rows"]) == {"row/30", "row/31", "row/32", "row/33"}
    assert "the same text" in told["left_out"]["rows"]["row/30"]
    with pytest.raises(UsageError, match=r"dpo\.pairs: written: no row to learn from, 1 left out; the first: row/30"):
        replace(TUNING, pairs=Written(odd[:1])).fitted(victim, tmp_path / "none")


# ---------------------------------------------------------------- stopped


class Stopped(Exception):
    pass


def test_a_stopped_training_goes_on_to_the_last_bit(victim: HF, fitted: DPO, tmp_path: Path) -> None:
    def stop(pace: Pace) -> None:
        if pace.step == 5:
            raise Stopped

    with watched_by(stop), pytest.raises(Stopped):
        TUNING.fitted(victim, tmp_path)
    resumed = TUNING.fitted(victim, tmp_path)
    assert resumed.tuned is not None
    assert fitted.tuned is not None
    files = [folder / LEARNED / "adapter_model.safetensors" for folder in (resumed.tuned, fitted.tuned)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert resumed.spent["steps"] == 6


def test_untrained_it_is_one_line(victim: HF) -> None:
    with pytest.raises(UsageError, match="dpo: has not learned about this victim yet"):
        TUNING(victim)
    with pytest.raises(ValueError, match="tuned: expected the folder"):
        DPO()


@pytest.mark.parametrize("fields", [{"beta": 0.0}, {"label_smoothing": 0.5}, {"label_smoothing": -0.1}, {"batch": 0}])
def test_fields_are_checked(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        replace(TUNING, **fields)
