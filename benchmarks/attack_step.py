"""One step of a universal image attack: the published loops, torchattacks' PGD and ours, side by side in one run.

One picture, B pairs of (prompt, target), mean cross-entropy over all target tokens, gradient down to the pixels. All
sides run the same frozen random weights of LLaVA's shape, loaded from a folder as a user's own model is:

published     Qi et al. (2023), LLaVA code: picture repeated B times, the model's own forward with labels
encode-once   Qi et al. (2023), MiniGPT-4 code: picture features computed once and repeated, the rest as above
torchattacks  one step of targeted PGD of the package around the model (pip install --no-deps torchattacks)
ours          loss_and_grad of the victim `llava`, on pairs drawn anew in each step, as an attack draws them

    OMP_NUM_THREADS=1 python benchmarks/attack_step.py [--head real|32k|both] [--batch 1 4 8 16 64] [--json FILE]
    python benchmarks/attack_step.py --shape llava-7b --device cuda --dtype bfloat16

Repeats are interleaved, so that a busy machine slows all sides. Memory is the growth of the peak over the loaded model
in one step: resident high-water mark of a process of its own per side (Linux), or the allocator's maximum on a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import importlib.util
import json
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from attack_step_parts.cells import Cell, measure
from attack_step_parts.memory import Memory, cases_of, peak_bytes
from attack_step_parts.model import SHAPES, Shape, load, save
from attack_step_parts.steps import SIDES, TORCHATTACKS, case
from attack_step_parts.tables import report

from proofglass.console import say
from proofglass.victims.llava import Llava

LARGEST_32K = 16  # pairs: logits of 64 repeated pictures over 32,000 words are 5.5 GB, twice


def environment(asked: argparse.Namespace, victim: Llava) -> dict[str, Any]:
    machine = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        machine = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    if victim.model.device.type != "cpu":
        machine = torch.cuda.get_device_name()
    found = importlib.util.find_spec("torchattacks")
    return {
        "date": datetime.date.today().isoformat(),
        "machine": machine,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "torchattacks": importlib.metadata.version("torchattacks") if found else None,
        "shape": asked.shape,
        "dtype": asked.dtype,
        "attention": victim.model.model.config._attn_implementation,
        "one_prompt": asked.one_prompt,
    }


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head", default="both", choices=["real", "32k", "both"], help="vocabulary 256 or 32,000")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 8, 16, 64], help="numbers of pairs")
    parser.add_argument("--repeats", type=int, default=5, help="at B >= 16; smaller B get more in about equal time")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--micro", type=int, default=16, help="largest batch that the published loops run at once")
    parser.add_argument("--one-prompt", action="store_true", help="one prompt, many targets (as Qi et al. attack)")
    parser.add_argument("--shape", default="toy", choices=sorted(SHAPES))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--child", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(given)
    heads = [head for head, _ in SHAPES[asked.shape].heads]
    if asked.head not in ("both", *heads):
        parser.error(f"--head {asked.head}: the shape {asked.shape} has {', '.join(heads)}")
    return asked


def run(asked: argparse.Namespace, shape: Shape, folder: Path) -> tuple[list[Cell], dict[str, Any]]:
    sides = [s for s in SIDES if s != TORCHATTACKS or importlib.util.find_spec("torchattacks")]
    cells: list[Cell] = []
    facts: dict[str, Any] = {}
    for head, vocabulary in shape.heads:
        if asked.head not in ("both", head):
            continue
        save(shape, vocabulary, folder / head)
        victim = load(shape, folder / head, asked.device, asked.dtype)
        facts = environment(asked, victim)
        memory = Memory(asked, shape, head, folder / head, victim)
        for size in asked.batch:
            if head == "32k" and size > LARGEST_32K:
                say(f"{head} head, B = {size}: left out, this head runs up to B = {LARGEST_32K}")
                continue
            given = case(shape, vocabulary, size, asked.device, one_prompt=asked.one_prompt)
            repeats = asked.repeats * max(1, 16 // size)
            cell = measure(head, shape, vocabulary, victim, given, asked.micro, repeats, sides)
            say(cell.line())
            if asked.memory:
                for side in cell.seconds:
                    peak, note = memory.of(side, size)
                    cell.peaks |= {} if peak is None else {side: peak}
                    cell.notes += [note] * bool(note)
                told = ", ".join(f"{side} {peak / 2**20:,.0f} MiB" for side, peak in cell.peaks.items())
                say(f"{head} head, B = {size}: peak over the loaded model: {told}")
            cells.append(cell)
    return cells, facts


def main(given: Sequence[str] | None = None) -> None:
    asked = arguments(given)
    shape = SHAPES[asked.shape]
    transformers.logging.set_verbosity_error()
    if asked.child:
        victim = load(shape, asked.folder, asked.device, asked.dtype)
        say(peak_bytes(asked.child, victim, *cases_of(asked, shape, asked.head, asked.batch[0])))
        return
    with tempfile.TemporaryDirectory() as folder:
        cells, facts = run(asked, shape, Path(folder))
    clock = "CPU time of the process" if asked.device == "cpu" else "wall time"
    say()
    say(", ".join(f"{name} {value}" for name, value in facts.items() if value is not None))
    if not facts["torchattacks"]:
        say("torchattacks: not installed: pip install --no-deps torchattacks")
    say()
    say(report(cells, clock))
    if asked.json:
        asked.json.write_text(json.dumps({"facts": facts, "cells": [asdict(cell) for cell in cells]}, indent=1))


if __name__ == "__main__":
    main()
