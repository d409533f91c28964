"""What tests of model folders share, and the server that breaks on purpose."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from victims.flaky_server import Flaky, serving


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt, of the folder that the test's own file makes."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture
def server() -> Iterator[Flaky]:
    flaky = Flaky()
    with serving(flaky) as url:
        flaky.url = url  # type: ignore[attr-defined]
        yield flaky
