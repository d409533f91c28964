"""`victims check` on a user's own weights: what is right passes, what is wrong fails, what cannot be told says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import MistralConfig

from proofglass.errors import UsageError
from proofglass.types import Chat, Finding, Image, Sample
from proofglass.victims.hf import checks, fidelity
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
        nll, grads = run(*args)
        return nll, {slot: grad * float("nan") for slot, grad in grads.items()}

    monkeypatch.setattr(model.step, "run", broken)
    assert checks.gradient_difference(model, pairs) == float("inf")


def test_a_picture_out_of_the_language_models_reach_leaves_nothing_to_compare(tmp_path: Path) -> None:
    tiny_llava.build(tmp_path, language=MistralConfig, sliding_window=3)  # two layers look back four tokens
    told = found(HFModel(tmp_path, "cpu"))
    assert told["loss is that of plain transformers"].ok is True
    assert told["gradient is that of plain transformers"].ok is None
    assert "zero or not finite" in told["gradient is that of plain transformers"].measured


def test_the_check_says_which_form_of_image_processor_is_followed_and_how_far_the_default_is(
    model: HFModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another form whose mean lies a tenth lower: 25.5 levels off in the channel with the largest deviation."""
    own = fidelity.image_processor(model.path)
    own.image_mean = [mean - 0.1 for mean in own.image_mean]
    monkeypatch.setattr(fidelity, "default_form", lambda: "pil")
    assert "which transformers loads here by default" in fidelity._processor(model).measured
    monkeypatch.setattr(fidelity, "default_form", lambda: "torchvision")
    monkeypatch.setattr(fidelity, "image_processor", lambda path, form: own)
    found = fidelity._processor(model)
    assert found.ok  # of the form that is followed
    # 255 * 0.1 / std * the largest std, over channels with std .2686, .2613, .2758: 26.9 where std is smallest
    assert "default here, torchvision, differs from it by up to 26.9 levels" in found.measured
    assert "in 100.00 % of values" in found.measured


def test_a_default_form_that_does_not_run_is_said(model: HFModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(path: Path, form: str) -> None:
        raise UsageError("needs torchvision")

    monkeypatch.setattr(fidelity, "default_form", lambda: "torchvision")
    monkeypatch.setattr(fidelity, "image_processor", absent)
    assert "torchvision, does not run (needs torchvision)" in fidelity._processor(model).measured
