"""Where weights go: the field that says it, and what this machine has."""

from __future__ import annotations

import re
from typing import Annotated

from proofglass.errors import UsageError
from proofglass.interfaces.fields import Checked

_ONE = re.compile(r"auto|cpu|mps|cuda(:(0|[1-9][0-9]{0,2}))?")
WORDS, SPREAD = "auto, cpu, mps, cuda or cuda:NUMBER", "spread"


def _is_one(value: str, field: str) -> None:
    if not _ONE.fullmatch(value):
        raise ValueError(f"{field}: expected {WORDS}, found {value!r}")


def _is_one_or_all(value: str, field: str) -> None:
    if value != SPREAD and not _ONE.fullmatch(value):
        raise ValueError(f"{field}: expected {WORDS}, or {SPREAD} (over all GPUs), found {value!r}")


Device = Annotated[str, Checked(_is_one, WORDS)]
"""The name of a device. Whether this machine has it is seen when weights are loaded (`placed`)."""
Devices = Annotated[str, Checked(_is_one_or_all, f"{WORDS}, or {SPREAD}")]
"""The name of a device, or "spread": over all GPUs."""


def placed(device: str) -> str:
    """The device that weights go to. Raises UsageError for one that this machine does not have, ValueError for what
    names none."""
    import torch

    _is_one(device, "device")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if count else "cpu"
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= count:
        has = f"this machine has {count}, counted from 0" if count else "PyTorch finds none on this machine"
        raise UsageError(f"device: expected a GPU that is there, found {device!r}: {has}; take auto or cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device: found 'mps', which PyTorch does not find on this machine; take auto or cpu")
    return device
