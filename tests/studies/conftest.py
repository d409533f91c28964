"""Scripted plugs under their own names, for this folder's tests only."""

from __future__ import annotations

import importlib

import pytest

import scripted_plugs
from proofglass import registry
from proofglass.studies import located
from proofglass.studies.study import Study, parse


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted plugs are known by name; without this, only the built-in ones are."""
    for kind in registry._PACKAGES.values():
        if kind != "proofglass.models":
            module = importlib.import_module(kind)
            monkeypatch.setattr(module, "CONTENTS", dict(module.CONTENTS))
    scripted_plugs.register()


@pytest.fixture
def study(scripted: None):
    """`study(text)`: the study of a YAML text, in a file `study.yaml`."""

    def make(text: str) -> Study:
        return parse(located.parse(text, "study.yaml"))

    return make
