"""A device is a name that PyTorch knows, said once, and seen before any weight is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from proofglass import registry
from proofglass.errors import UsageError
from proofglass.interfaces.devices import placed
from proofglass.interfaces.fields import hints, spelled
from tiny_models import build as tiny

ODD = ("gpu", "", " cpu", "CPU", "cuda:", "cuda:01", "cuda:-1", "cuda:1000", "cuda:0\n", "cuda:٣", "spread out")
KINDS = ("victims", "judges", "models")
TAKING = sorted(
    (kind, name)
    for kind in KINDS
    for name, found in registry.entries(kind).items()
    if found.target.startswith("proofglass.") and "device" in hints(found.load())
)


def test_every_plug_with_a_device_states_which_there_are() -> None:
    assert {("victims", "hf"), ("victims", "testbed-linear"), ("judges", "toxicity"), ("victims", "hf-plain")} <= {
        *TAKING
    }
    for kind, name in TAKING:
        assert "auto, cpu, mps, cuda or cuda:NUMBER" in spelled(hints(registry.entry(kind, name).load())["device"]), (
            name
        )


@pytest.mark.parametrize("device", ODD)
@pytest.mark.parametrize(
    ("kind", "name"), [("victims", "hf"), ("victims", "testbed-cross"), ("models", "testbed-clip")]
)
def test_what_names_no_device_is_told_before_anything_is_loaded(kind: str, name: str, device: str) -> None:
    more = {"path": "/nowhere"} if name == "hf" else {}
    with pytest.raises(ValueError, match=r"device: expected auto, cpu, mps, cuda or cuda:NUMBER.*, found"):
        registry.build(kind, name, device=device, **more)
    with pytest.raises(ValueError, match="device: expected a text, found 0"):
        registry.build(kind, name, device=0, **more)


def test_only_what_can_be_spread_takes_spread() -> None:
    assert registry.build("victims", "hf", path="/nowhere", device="spread").device == "spread"
    with pytest.raises(ValueError, match="found 'spread'"):
        registry.build("victims", "testbed-linear", device="spread")


@pytest.mark.parametrize(("there", "device"), [(0, "cuda"), (0, "cuda:0"), (1, "cuda:1"), (2, "cuda:10")])
def test_a_gpu_that_is_not_there_is_one_error(monkeypatch: pytest.MonkeyPatch, there: int, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(UsageError, match=f"device: expected a GPU that is there, found '{device}'.*take auto or cpu"):
        placed(device)
    assert placed("auto") == ("cuda" if there else "cpu")
    if there:
        assert placed(f"cuda:{there - 1}") == f"cuda:{there - 1}"


def test_weights_wait_for_a_device_that_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import transformers

    def loaded(*given: object, **named: object) -> object:
        raise AssertionError("loaded")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(transformers.LlavaForConditionalGeneration, "from_pretrained", loaded)
    victim = registry.build("victims", "hf", path=tiny("llava", tmp_path / "llava"), device="cuda:1")
    with pytest.raises(UsageError, match="device: expected a GPU that is there, found 'cuda:1': PyTorch finds none"):
        _ = victim.model
