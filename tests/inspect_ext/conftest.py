"""Inspect AI is a package of its own; without it this folder is skipped. Scripted plugs are known by name."""

from __future__ import annotations

import importlib

import pytest

import scripted_plugs
from proofglass import registry


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("inspect_ai") is None:
        for item in items:
            if "inspect_ext" in str(item.path):
                item.add_marker(pytest.mark.skip(reason="needs inspect-ai (extra `inspect`)"))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted plugs, and those of `inspect_plugs`, under their names; without this only the built-in ones are."""
    for kind in registry._PACKAGES.values():
        if kind != "proofglass.models":
            module = importlib.import_module(kind)
            monkeypatch.setattr(module, "CONTENTS", dict(module.CONTENTS))
    scripted_plugs.register()
    import proofglass.attacks
    import proofglass.victims

    proofglass.victims.CONTENTS["broken-echo"] = ("scripted_plugs:EchoVictim", {"broken": True})
    for name in ("TwoTurns", "AsksHelper", "AsksWhileCrafting"):
        proofglass.attacks.CONTENTS[name] = f"inspect_plugs:{name}"
