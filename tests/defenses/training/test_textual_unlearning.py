"""Textual unlearning: golden terms, a bound, rows that are none, resumed to the last bit."""

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

from defenses.training.learned_from import Written, asked, preference
from proofglass.defenses.training.textual_unlearning import TextualUnlearning, answer_of, drift, unlearning_loss
from proofglass.defenses.tuning import CARD, LEARNED
from proofglass.engine.progress import Pace, watched_by
from proofglass.errors import UsageError
from proofglass.interfaces import opened_through
from proofglass.types import BadSample, Sample
from proofglass.victims.hf_folder import HF
from tiny_models import build as tiny

pytest.importorskip("peft", reason="needs peft")
SEALED = Written(tuple(asked(k, shown=False, references=(f"sure , take clay {k} .",)) for k in range(4)))
PLAIN = Written(tuple(asked(k, shown=False, refuse=False) for k in range(20, 23)))
SHORT: dict[str, Any] = {"steps": 6, "batch": 2, "rank": 2, "alpha": 4.0, "rate": 1e-2, "every": 2, "cap": 20.0}
TUNING = TextualUnlearning(SEALED, PLAIN, refusals=("no , not that .",), **SHORT)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> HF:
    return HF(tiny("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu", micro=2)


@pytest.fixture(scope="module")
def fitted(victim: HF, tmp_path_factory: pytest.TempPathFactory) -> TextualUnlearning:
    return TUNING.fitted(victim, tmp_path_factory.mktemp("fits") / "one")


def of(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def nll(victim: Any, sample: Sample, answer: str) -> float:
    prepared = victim.prepare([[(sample.chat, answer)]], append_eos=True, slots=())
    return float(victim.loss_and_grad(None, prepared, need_grad=False).loss)


# ---------------------------------------------------------------- the loss


def test_the_loss_is_that_of_the_method() -> None:
    # weights (.5, 1, 1), CE of the harmful answer 2, of the refusal 1.2, KL .3: -.5 x 2 + 1.2 + .3 = .5
    assert float(unlearning_loss(of(2), of(1.2), 0.5, 1.0, 5.0)) + 1.0 * 0.3 == pytest.approx(0.5)
    # before (.5, .5), now (.9, .1): .5 ln(.5 / .9) + .5 ln(.5 / .1) = .5108256; the other way it would be .3680642
    before, now = (of(0.5, 0.5).log()[None], of(0.9, 0.1).log()[None])
    assert float(drift(before, now)) == pytest.approx(0.5108256237659907)
    twice = torch.cat([before, before]), torch.cat([now, before]) + 7.0  # a mean over tokens; logits have no zero
    assert float(drift(*twice)) == pytest.approx(0.5108256237659907 / 2)


@given(st.floats(0, 1e6), st.floats(0, 1e3), st.floats(0, 3), st.floats(0, 3), st.floats(0.1, 20))
def test_nothing_lies_below_the_bound_and_above_the_cap_nothing_ascends(
    harmful: float, safe: float, ascent: float, descent: float, cap: float
) -> None:
    x = of(harmful).requires_grad_()
    loss = unlearning_loss(x, of(safe), ascent, descent, cap)
    assert float(loss.detach()) >= -ascent * cap - 1e-9
    loss.sum().backward()
    assert x.grad is not None
    assert float(x.grad) == pytest.approx(0.0 if harmful > cap else -ascent)


def test_a_loss_that_is_no_number_is_not_cut_to_one_that_is() -> None:
    assert math.isnan(float(unlearning_loss(of(math.nan), of(1.0), 0.5, 1.0, 5.0)))


def test_a_step_has_the_gradient_of_the_three_terms(victim: HF) -> None:
    # At the start both models are one, so KL and its gradient are 0: what is left is -w_a CE_h + w_d CE_s.
    learner = victim.learner(2, 4.0, 0)
    lesson = replace(TUNING, keep=100.0)._lesson(learner)
    rows = [*range(4), 4, 5, 6]
    found = torch.autograd.grad(sum(lesson.parts(rows), torch.zeros(())), list(learner.parameters))
    samples = [sample for sample in SEALED.rows if isinstance(sample, Sample)]
    ces = [
        [learner.nll([learner.row(sample.chat, text)])[0].mean() for text in TUNING.answers_of(sample)]
        for sample in samples
    ]
    expected = sum((-0.5 * harmful + safe) / 4 for harmful, safe in ces)
    for one, other in zip(found, torch.autograd.grad(expected, list(learner.parameters)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_logits_and_losses_of_a_learner_are_of_the_same_tokens(victim: HF) -> None:
    learner = victim.learner(2, 4.0, 0)
    rows = [learner.row(sample.chat, sample.references[0]) for sample in (asked(1, refuse=False), *PLAIN.rows)]
    for row, logits, losses in zip(rows, learner.logits(rows), learner.nll(rows), strict=True):
        target = torch.tensor(learner.answer(row))
        torch.testing.assert_close(-logits.log_softmax(-1)[range(len(target)), target], losses)


# ---------------------------------------------------------------- the tuned model


def test_harmful_answers_become_unlikely_and_safe_ones_likely(victim: HF, fitted: TextualUnlearning) -> None:
    tuned = fitted(victim)
    for sample in SEALED.rows:
        assert isinstance(sample, Sample)
        harmful, safe = TUNING.answers_of(sample)
        moved = [nll(tuned, sample, text) - nll(victim, sample, text) for text in (harmful, safe)]
        assert moved[1] < moved[0] - 0.05
    assert tuned.key != victim.key
    assert opened_through(fitted, victim) is tuned


@pytest.mark.slow
def test_what_is_kept_drifts_less(victim: HF, tmp_path: Path) -> None:
    rows = [sample for sample in PLAIN.rows if isinstance(sample, Sample)]
    free, kept = (
        replace(TUNING, keep=weight).fitted(victim, tmp_path / str(weight))(victim) for weight in (0.0, 100.0)
    )
    drifts = [
        sum(abs(nll(tuned, row, row.references[0]) - nll(victim, row, row.references[0])) for row in rows)
        for tuned in (free, kept)
    ]
    assert drifts[1] < 0.5 * drifts[0]


class Stopped(Exception):
    pass


def test_a_stopped_training_goes_on_to_the_last_bit(victim: HF, fitted: TextualUnlearning, tmp_path: Path) -> None:
    def stop(pace: Pace) -> None:
        if pace.step == 5:
            raise Stopped

    with watched_by(stop), pytest.raises(Stopped):
        TUNING.fitted(victim, tmp_path)
    resumed = TUNING.fitted(victim, tmp_path)
    files = [each.tuned / LEARNED / "adapter_model.safetensors" for each in (resumed, fitted) if each.tuned]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert (resumed.spent["steps"], resumed.spent["rows_seen"]) == (6, 24)


# ---------------------------------------------------------------- rows that are none


@pytest.mark.parametrize(
    ("sample", "answers"),
    [
        (asked(1, references=("sure , take clay .",)), ("sure , take clay .", "no , not that .")),
        (asked(1), ("sure , here is how", "no , not that .")),  # its target
        (asked(1, meta={"response": "that is private ."}), ("sure , here is how", "that is private .")),
        (preference(1, "no .", "take clay ."), ("take clay .", "no .")),
        (asked(1, references=("yes .",), meta={"rejected": " "}), ("yes .", "no , not that .")),
    ],
)
def test_the_answers_of_a_row(sample: Sample, answers: tuple[str, str]) -> None:
    assert TUNING.answers_of(sample) == answers


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (asked(1, target=""), "no answer to unlearn"),
        (asked(1, target=" no , not that . "), "the same text"),
        (asked(1, refuse=False), "a row that should be refused, found 'comply'"),
    ],
)
def test_a_row_without_them_is_none(sample: Sample, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TUNING.answers_of(sample)


def test_harmless_rows_have_an_answer_and_should_not_be_refused() -> None:
    with pytest.raises(ValueError, match="should be refused"):
        answer_of(asked(1, references=("yes .",)))
    with pytest.raises(ValueError, match="no answer to stay at"):
        answer_of(asked(1, refuse=False, references=(" ",), target=""))


def test_rows_that_cannot_be_used_cost_themselves_and_pictures_are_left_out(victim: HF, tmp_path: Path) -> None:
    odd = (asked(30), BadSample("row/31", "written", "line 31: no question"), asked(32, refuse=False, shown=False))
    short = replace(TUNING, steps=1, harmful=Written((*SEALED.rows, *odd)))
    found = short.fitted(victim, tmp_path / "text")
    assert found.tuned is not None
    told = json.loads((found.tuned / CARD).read_text())["data"]
    assert told["harmful"]["rows"] == 4
    assert set(told["harmful"]["left_out"]["rows"]) == {"row/30", "row/31", "row/32"}
    assert "shows a picture" in told["harmful"]["left_out"]["rows"]["row/30"]
    assert told["harmless"]["rows"] == 3
    assert len(replace(short, modality="all")._lesson(victim.learner(2, 4.0, 0)).names) == 8
    with pytest.raises(UsageError, match=r"textual-unlearning\.harmless: written: no row to learn from, 4 left out"):
        replace(TUNING, harmless=SEALED).fitted(victim, tmp_path / "none")


@pytest.mark.parametrize(
    "fields", [{"cap": 0.0}, {"cap": math.nan}, {"ascent": -1.0}, {"refusals": ()}, {"modality": "image"}, {"steps": 0}]
)
def test_fields_are_checked(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        replace(TUNING, **fields)


def test_data_is_named_or_a_folder() -> None:
    with pytest.raises(ValueError, match=r"tuned: expected the folder.*found no harmless"):
        TextualUnlearning(SEALED)
