"""timm and open_clip import torchvision, whose binary part does not load beside every build of torch.

What they and these tests use of it is Python alone. `libraries` declares the two operators that the import asks for, so
that it goes through without them; nothing here, and nothing in Proofglass, ever calls them.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

import pytest

_kept: list[Any] = []  # a library is forgotten with its object


def libraries(*names: str) -> list[Any]:
    """The modules, imported; skips the test with its reason where one is absent."""
    absent = [name for name in (*names, "torchvision") if find_spec(name) is None]
    if absent:
        pytest.skip(f"needs {', '.join(absent)}: pip install --no-deps timm open_clip_torch torchvision ftfy wcwidth")
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        import torch

        _kept.append(declared := torch.library.Library("torchvision", "DEF"))
        for operator in ("nms", "qnms"):
            declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")
    return [importlib.import_module(name) for name in names]
