"""Contracts of guard models: family -> what it is shown, and how its words are read. A table that imports nothing."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from proofglass.evaluation.judges.guards.base import Contract

_HERE = "proofglass.evaluation.judges.guards"
CONTRACTS = {
    "llama-guard-3-vision": f"{_HERE}.llama_guard:LLAMA_GUARD_3_VISION",
    "llama-guard-4": f"{_HERE}.llama_guard:LLAMA_GUARD_4",
    "shieldgemma-2": f"{_HERE}.shieldgemma2:SHIELDGEMMA_2",
    "llavaguard": f"{_HERE}.llavaguard:LLAVAGUARD",
    "qwen3guard": f"{_HERE}.qwen3guard:QWEN3GUARD",
    "granite-guardian": f"{_HERE}.granite_guardian:GRANITE_GUARDIAN",
    "nemotron-content-safety": f"{_HERE}.nemotron:NEMOTRON",
}


def contract_of(family: str) -> Contract:
    """The contract of a family in `CONTRACTS`."""
    module, _, name = CONTRACTS[family].partition(":")
    return cast(Contract, getattr(import_module(module), name))
