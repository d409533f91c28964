"""`victims check` on a user's own weights: what is right passes, what is wrong fails, what cannot be told says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import MistralConfig

from proofglass.types import Chat, Finding, Image, Sample
from proofglass.victims.hf import checks
from proofglass.victims.hf.fidelity import findings
from proofglass.victims.hf.model import HFModel

from .families import tiny_llava

PICTURE = Image.from_array(np.random.default_rng(0).integers(0, 256, (33, 52, 3), dtype=np.uint8))
SAMPLES = [Sample(str(k), "", Chat.user(PICTURE, "what is it?" * (k + 1)), target="a cat") for k in range(2)]


@pytest.fixture
def model(tmp_path: Path) -> HFModel:
    torch.manual_seed(0)
    tiny_llava.build(tmp_path)
    return HFModel(tmp_path, "cpu")


def found(model: HFModel) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings(model, SAMPLES, 2)}


def test_a_true_adapter_passes_every_check(model: HFModel) -> None:
    assert [finding.ok for finding in found(model).values()] == [True] * 7


def test_another_loss_than_the_models_is_found(model: HFModel, monkeypatch: pytest.MonkeyPatch) -> None:
    head = model.family.head
    monkeypatch.setattr(model.family, "head", lambda hidden: head(hidden) / 2)
    told = found(model)
    assert told["loss is that of plain transformers"].ok is False
    assert told["gradient is that of plain transformers"].ok is False
    assert told["replies are those of generate"].ok is True  # half the logits, the same greedy tokens


def test_a_gradient_that_is_not_finite_fails(model: HFModel, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [(sample.chat, sample.target) for sample in SAMPLES]
    run = model.step.run

    def broken(*args):
        nll, grad = run(*args)
        return nll, grad * float("nan")

    monkeypatch.setattr(model.step, "run", broken)
    assert checks.gradient_difference(model, pairs) == float("inf")


def test_a_picture_out_of_the_language_models_reach_leaves_nothing_to_compare(tmp_path: Path) -> None:
    tiny_llava.build(tmp_path, language=MistralConfig, sliding_window=3)  # two layers look back four tokens
    told = found(HFModel(tmp_path, "cpu"))
    assert told["loss is that of plain transformers"].ok is True
    assert told["gradient is that of plain transformers"].ok is None
    assert "zero or not finite" in told["gradient is that of plain transformers"].measured
