"""Proofglass: measure, attack and harden multimodal large language models."""

from __future__ import annotations

from typing import Any

from proofglass import threads

threads.wait_asleep()

__version__ = "0.1.0"

# Public names, loaded on first use: `import proofglass` stays light.
_PUBLIC = {
    "Artefact": "types", "Ask": "types", "Budget": "types", "Chat": "types", "Image": "types", "Layout": "types",
    "Reply": "types", "Sample": "types", "Score": "types", "Settings": "types",
    "Attack": "interfaces", "Dataset": "interfaces", "Defense": "interfaces", "Judge": "interfaces",
    "Victim": "interfaces", "WhiteBoxVictim": "interfaces", "Paper": "interfaces",
    "attack": "api", "dataset": "api", "defense": "api", "judge": "api", "victim": "api",
    "run": "api", "curve": "api", "Run": "api", "write_report": "api", "measure": "api", "judge_study": "api",
    "plan_labels": "api", "add_labels": "api",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        import importlib

        return getattr(importlib.import_module(f"proofglass.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'proofglass' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
