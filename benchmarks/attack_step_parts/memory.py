"""Memory of one step: growth of the peak over the loaded model, in a process of its own per side."""

from __future__ import annotations

import argparse
import ctypes
import gc
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch

from attack_step_parts.model import Shape
from attack_step_parts.steps import OURS, Case, case, step_of
from proofglass.victims.llava import Llava

SCRIPT = Path(__file__).parents[1] / "attack_step.py"


def peak_bytes(side: str, victim: Llava, given: Case, warm: Case) -> float:
    """Growth of the peak in one step on the whole batch. A step on `warm` (two pairs) comes first, so that what is done
    once per process or model does not count."""
    step_of(side, victim, warm, None)()
    gc.collect()
    if victim.model.device.type != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before: float = torch.cuda.memory_allocated()
        step_of(side, victim, given, None)()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)  # glibc: what the warm-up freed must not hide what the step takes
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    step_of(side, victim, given, None)()
    return _status("VmHWM") - before


def _status(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return float(line.split()[1]) * 1024


@dataclass
class Memory:
    """Peaks of the sides for one model. known: bytes of (side, B), to foresee what will not fit."""

    asked: argparse.Namespace
    shape: Shape
    head: str
    folder: Path
    victim: Llava
    known: dict[tuple[str, int], float | None] = field(default_factory=dict)

    def of(self, side: str, size: int) -> tuple[float | None, str]:
        """Peak in bytes and a note: 8 pairs' peak in proportion where a repeated batch does not fit."""
        grows = side != OURS and size > 8
        on_cpu = self.victim.model.device.type == "cpu"
        if not grows or not on_cpu or (self._measured(side, 8) or 0) / 8 * size < 0.7 * _available():
            found = self._measured(side, size)
            if found is not None:
                return found, ""
        eight = self._measured(side, 8) if grows else None
        if eight is None:
            return None, f"B = {size}: {side} does not fit into memory"
        return (
            eight / 8 * size,
            f"B = {size}: {side} does not fit whole; peak estimated from above, B / 8 of that at B = 8",
        )

    def _measured(self, side: str, size: int) -> float | None:
        if (side, size) not in self.known:
            self.known[side, size] = self._measure(side, size)
        return self.known[side, size]

    def _measure(self, side: str, size: int) -> float | None:
        if self.victim.model.device.type != "cpu":
            try:
                return peak_bytes(side, self.victim, *cases_of(self.asked, self.shape, self.head, size))
            except torch.OutOfMemoryError:
                return None
        command = [sys.executable, str(SCRIPT), "--child", side, "--folder", str(self.folder), "--batch", str(size)]
        command += ["--shape", self.asked.shape, "--head", self.head, "--dtype", self.asked.dtype]
        command += ["--one-prompt"] * self.asked.one_prompt
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(f"memory of {side} at B = {size}: exit {ended.returncode}\n{ended.stderr[-2000:]}")
        return float(ended.stdout.split()[-1])


def cases_of(asked: argparse.Namespace, shape: Shape, head: str, size: int) -> tuple[Case, Case]:
    """The case to measure and two pairs to warm up on."""
    vocabulary = dict(shape.heads)[head]
    return (
        case(shape, vocabulary, size, asked.device, one_prompt=asked.one_prompt),
        case(shape, vocabulary, 2, asked.device, seed=1, one_prompt=asked.one_prompt),
    )


def _available() -> float:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
