"""The script that flips bytes of run folders: no report changes without a word."""

from __future__ import annotations

import importlib.util
import random
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FEW = {
    "finished": ("scores",),
    "stopped crafting": ("checkpoints",),
    "stopped asking": ("artefacts", "API ledger"),
}


@pytest.mark.parametrize("count", [1, pytest.param(200, marks=pytest.mark.slow)])
def test_one_flipped_byte_is_told_or_changes_no_report(tmp_path: Path, count: int) -> None:
    spec = importlib.util.spec_from_file_location("flip_bytes", ROOT / "scripts" / "flip_bytes.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    importlib.sys.modules["flip_bytes"] = script  # type: ignore[attr-defined]  # dataclasses look their module up
    spec.loader.exec_module(script)
    rng, ends = random.Random(count), Counter()
    for run in script.runs(tmp_path):
        for kind in FEW[run.name] if count == 1 else script.KINDS:
            if run.files(kind):
                tally = script.flips(run, kind, count, rng, tmp_path)
                assert not tally.wrong
                ends += tally.ends
    assert ends["told"] >= 2 * count
