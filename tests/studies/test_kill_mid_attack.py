"""SIGKILL in the middle of an optimisation: the same command goes on from a checkpoint and makes the same PNG.

Only the run that is killed is a process of its own; the others run here, where torch and transformers are loaded.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

STUDY = """\
name: killed
seed: 5
victims: [testbed-linear]
attacks:
  - qi2023: {steps: 50, targets_per_step: 2, context: sample}
datasets:
  - testbed: {part: restricted-image, n: 2, craft_n: 6}
judges: [testbed-content]
"""


def words(folder):
    return ["proofglass", "run", str(folder / "study.yaml"), "--out", str(folder / "run"), "--quiet", "--no-report"]


def run_here(folder, monkeypatch):
    import torch

    from proofglass.cli.main import main

    torch.set_num_threads(1)  # as the process that is killed: sums are split alike
    monkeypatch.setattr(sys, "argv", words(folder))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


def pngs(folder):
    return {path.name: path.read_bytes() for path in (folder / "run" / "artefacts").rglob("*.png")}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_run_killed_inside_an_optimisation_makes_the_same_picture(tmp_path, monkeypatch):
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
        (folder / "study.yaml").write_text(STUDY)
    whole, killed = folders
    run_here(whole, monkeypatch)
    assert not list((whole / "run" / "drafts").rglob("*.safetensors"))  # of no more use once bought

    command = [sys.executable, "-m", *words(killed)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    until = time.monotonic() + 200
    while not list((killed / "run" / "drafts").rglob("*.safetensors")):
        assert process.poll() is None, "the run ended before it wrote a checkpoint"
        assert time.monotonic() < until
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "run" / "artefacts").exists() or not list((killed / "run" / "artefacts").glob("*.json"))
    run_here(killed, monkeypatch)
    assert pngs(killed) == pngs(whole)
