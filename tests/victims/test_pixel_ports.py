"""Every port of victims and models that takes pixels refuses those outside [0, 1]: double normalisation shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from proofglass.models.testbed import TestbedDetector, TestbedEncoder
from proofglass.types import Chat
from proofglass.victims.hf import checks
from proofglass.victims.hf_folder import HF
from proofglass.victims.own import OwnModule

from .families import tiny_llava

VICTIMS = ("loss_and_grad", "target_logits", "features", "features_and_grad")
PORTS = {"hf": VICTIMS, "own": VICTIMS, "encoder": ("features",), "detector": ("scores",)}


@pytest.fixture(scope="module")
def plugs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    torch.manual_seed(0)
    folder: Path = tmp_path_factory.mktemp("tiny") / "model"
    tiny_llava.build(folder)
    return {
        "hf": HF(folder, device="cpu"),
        "own": OwnModule("toy_module:Toy"),
        "encoder": TestbedEncoder(device="cpu"),
        "detector": TestbedDetector(device="cpu"),
    }


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.0), (-2.0, 1.0), (0.0, float("nan"))])
@pytest.mark.parametrize(("name", "port"), [(name, port) for name, ports in PORTS.items() for port in ports])
def test_pixels_outside_are_refused_by_port_and_range(
    plugs: dict[str, Any], name: str, port: str, low: float, high: float
) -> None:
    plug, picture = plugs[name], checks.odd_pictures(1)[0]
    x = plug.pixels(picture) if port in VICTIMS and name in ("hf", "own") else torch.rand(1, 3, 96, 96)
    given: list[Any] = []
    if port in ("loss_and_grad", "target_logits"):
        given = [plug.prepare([[(Chat.user(picture, "what is it?"), "a cat")]])]
    if port == "features_and_grad":
        given = [lambda found: found.flatten(1).sum(1)]
    getattr(plug, port)(x, *given)
    x = x.clone()
    x[0, 0, 0, 0], x[0, 0, 0, 1] = low, high
    x[0, :, 1:] = x[0, :, 1:].clamp(0, 1)
    with pytest.raises(ValueError, match=rf"^{port}: pixels: expected values in \[0, 1\], found \[") as caught:
        getattr(plug, port)(x, *given)
    assert f"{high:.4g}" in str(caught.value)
