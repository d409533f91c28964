"""GCG, step by step: nanoGCG and ours on the same model, candidates and seeds, in turns; and ours with a picture.

Both sides start from the same suffix, read the gradient at the same tokens, draw the same candidates (positions in
order, the same pick of the best tokens) and drop those that do not read back: nanoGCG by themselves, ours inside the
chat. nanoGCG keeps the keys of what stands before the suffix (its prefix cache). Times are CPU time of each process,
one thread each; each step of one side is followed by one of the other, so that a busy machine slows both.

    python -m venv /tmp/ng && /tmp/ng/bin/pip install nanogcg      # it pins transformers below 4.48
    OMP_NUM_THREADS=1 python benchmarks/token_search.py --other-python /tmp/ng/bin/python [--json FILE]

--batch 0 lets nanoGCG score all candidates of a step at once, its default; another number cuts them, which on a
processor is faster: its fastest is what ours is to be compared with. With --folder, a folder of any causal language
model with a chat template (SmolLM2) takes the place of the testbed's. Without --other-python, ours alone is timed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from token_search_parts.folders import exported

from proofglass.attacks.crafting.tokens import after_question, repeated, writable_in
from proofglass.console import say
from proofglass.engine.marked import marked, windowed
from proofglass.engine.progress import Pace, watched_by
from proofglass.engine.swaps import Swaps
from proofglass.engine.tokens import FoundTokens, search
from proofglass.registry import build
from proofglass.types import Sample

PEER = Path(__file__).parent / "token_search_parts" / "peer.py"


@dataclass
class Job:
    """What both sides are given."""

    folder: str
    question: str
    target: str
    start: str
    steps: int
    candidates: int
    top: int
    seed: int
    threads: int
    batch: int | None
    allowed: list[int]


@dataclass
class Side:
    """seconds: CPU time of each step; losses: after each; first: at the start; scored: candidates of each."""

    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    first: float = 0.0
    scored: list[int] = field(default_factory=list)


class Peer:
    """nanoGCG in its own process, one step for each `step`."""

    def __init__(self, python: str, job: Job) -> None:
        self.side = Side()
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": str(job.threads)}
        self.process = subprocess.Popen(
            [python, str(PEER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._write(json.dumps(asdict(job)))
        self.side.first = float(self._read()["first"])
        self._write("")

    def step(self, last: bool) -> None:
        found = self._read()
        self.side.seconds.append(found["seconds"])
        self.side.scored.append(found["candidates"])
        self._write("")
        if last:
            self.side.losses = [float(loss) for loss in self._read()["losses"]]
            self.process.wait()

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{PEER.name}: ended with status {self.process.wait()} before its last step")
        found: dict[str, Any] = json.loads(line)
        return found


def ours(victim: Any, sample: Sample, job: Job, peer: Peer | None) -> tuple[Side, FoundTokens]:
    """Our search; after each of its steps the peer makes one."""
    side, began = Side(), 0.0

    def between(pace: Pace) -> None:
        nonlocal began
        side.seconds.append(time.process_time() - began)
        if peer is not None:
            peer.step(pace.step == job.steps)
        began = time.process_time()

    allowed = torch.zeros(len(victim.embeddings()), dtype=torch.bool)
    allowed[job.allowed] = True
    objective = marked(victim, [[(after_question(sample), job.target)]], seeds=[job.seed])
    first = repeated(objective, job.start.split()[0], len(job.start.split()))
    with watched_by(between):
        began = time.process_time()
        found = search(
            windowed(objective, [first]),
            [first],
            Swaps("all", job.candidates, job.top),
            allowed=allowed,
            steps=job.steps,
            seed=[job.seed],
        )
    side.first, *side.losses = found.losses[0]
    side.scored = [found.tried[0]]
    return side, found


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other-python", help="a Python that has nanoGCG")
    parser.add_argument("--victim", default="testbed-lm-aligned", help="a text-only victim")
    parser.add_argument("--folder", type=Path, help="a causal language model in place of it")
    parser.add_argument("--picture", default="testbed-linear", help="a victim that sees, for ours alone; '' for none")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=512)
    parser.add_argument("--top", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--word", default="rope", help="the suffix begins as so many of this word")
    parser.add_argument("--batch", type=int, nargs="+", default=[0, 64], help="candidates that nanoGCG scores at once")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    return parser.parse_args(given)


def asked(victim: Any, count: int) -> list[Sample]:
    """Questions of the testbed that are refused, with a picture for a victim that sees."""
    part = "restricted-image" if victim.sees_images else "restricted"
    return list(itertools.islice(build("datasets", "testbed", part=part, n=count), count))


def compare(options: argparse.Namespace, victim: Any, folder: Path | None) -> list[dict[str, Any]]:
    """A row for each prompt and batch size of the peer."""
    allowed = writable_in(victim, plain=True).nonzero()[:, 0].tolist()
    start = " ".join([options.word] * options.tokens)
    rows = []
    for batch in options.batch if folder else [0]:
        for k, sample in enumerate(asked(victim, options.prompts)):
            job = Job(
                str(folder), sample.chat.last_text, sample.target, start, options.steps, options.candidates,
                options.top, k, torch.get_num_threads(), batch or None, allowed,
            )  # fmt: skip
            peer = Peer(options.other_python, job) if folder else None
            side, found = ours(victim, sample, job, peer)
            row = {"prompt": sample.id, "batch": batch, "ours": asdict(side), "path": victim.gradient_path()}
            row |= {"nanogcg": asdict(peer.side)} if peer else {}
            rows.append(row | {"text": found.texts[0]})
            say(line(row))
    return rows


def line(row: dict[str, Any]) -> str:
    mine, other = row["ours"], row.get("nanogcg")
    told = f"{row['prompt']}: ours {statistics.median(mine['seconds'][1:]):.3f} s a step, loss {mine['first']:.4f} -> "
    told += f"{mine['losses'][-1]:.4f} (best {min(mine['losses']):.4f})"
    if other is None:
        return told
    ratios = [b / a for a, b in zip(mine["seconds"][1:], other["seconds"][1:], strict=True)]
    name = f"nanoGCG at {row['batch'] or 'all'} at once"
    told += f"; {name} {statistics.median(other['seconds'][1:]):.3f} s, loss {other['first']:.4f} -> "
    told += f"{other['losses'][-1]:.4f} (best {min(other['losses']):.4f})"
    return told + f"; {statistics.median(ratios):.2f} x [{min(ratios):.2f}, {max(ratios):.2f}]"


def main(given: Sequence[str] | None = None) -> list[dict[str, Any]]:
    options = arguments(given)
    victim = (
        build("victims", "hf", path=options.folder, device="cpu")
        if options.folder
        else build("victims", options.victim, device="cpu")
    )
    with tempfile.TemporaryDirectory() as place:
        folder = exported(victim.folder, victim.model.tokenizer, Path(place)) if options.other_python else None
        rows = compare(options, victim, folder)
    if options.picture:
        rows += compare(options, build("victims", options.picture, device="cpu"), None)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return rows


if __name__ == "__main__":
    main()
