"""The benchmark of large pictures, at small ones: it starts a server, measures and ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "large_pictures.py"


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server's memory is read from Linux's /proc")
def test_it_prints_what_it_measured():
    command = [sys.executable, str(SCRIPT), "--pictures", "2", "--side", "64"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    first, *rest = ended.stdout.splitlines()
    assert first.startswith("2 pictures of 64 x 64 px")
    assert first.endswith("HTTP 200")
    assert [line.partition(":")[0] for line in rest] == [
        "CPU of the server", "peak memory above that before", "another caller",
    ]  # fmt: skip
