"""The script that kills runs, on a study with gradient crafting and dialogues."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_runs_lose_double_and_change_nothing(kills: int) -> None:
    ended = subprocess.run(
        [sys.executable, "scripts/kill_runs.py", "--study", "examples/kill.yaml", "--kills", str(kills)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{kills} kills" in ended.stdout
    assert "answers lost: 0; answers doubled: 0" in ended.stdout
    assert "violations: 0" in ended.stdout
