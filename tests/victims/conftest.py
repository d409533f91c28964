"""What tests of model folders share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt, of the folder that the test's own file makes."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))
