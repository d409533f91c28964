"""The script that kills runs, on a study with gradient crafting and dialogues."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


SMALLER = {"n: 16, craft_n: 16": "n: 4, craft_n: 4", "steps: 20": "steps: 6", "chunk: 8": "chunk: 2"}


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_runs_lose_double_and_change_nothing(kills: int, tmp_path: Path) -> None:
    text = (ROOT / "examples" / "kill.yaml").read_text()
    if kills < 100:  # the same phases, as many chunks, and less to wait for
        for whole, part in SMALLER.items():
            assert whole in text
            text = text.replace(whole, part)
    (tmp_path / "kill.yaml").write_text(text)
    ended = subprocess.run(
        [sys.executable, "scripts/kill_runs.py", "--study", str(tmp_path / "kill.yaml"), "--kills", str(kills)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{kills} kills" in ended.stdout
    assert "answers lost: 0; answers doubled: 0" in ended.stdout
    assert "violations: 0" in ended.stdout
