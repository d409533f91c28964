"""A tiny random model of every family, saved once per session."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from .cases import CASES
from .common import Case


@pytest.fixture(scope="session")
def folders() -> dict[str, Path]:
    return {}


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(scope="module")
def folder(case: Case, folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the model of `case` lies: not to be written to."""
    if case.name not in folders:
        torch.manual_seed(0)
        made = tmp_path_factory.mktemp("tiny") / "model"
        case.build(made)
        assert json.loads((made / "config.json").read_text())["architectures"] == [case.architecture]
        folders[case.name] = made
    return folders[case.name]
