"""Every metric beside its reference, on random cases: the largest difference, and how long both take.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py [NAME ...] [--n 1000] [--seed 0] [--json FILE]

NAME: only metrics whose name holds one of these words. A reference is a package, or, where none has the metric, a
second derivation of the formula beside the comparison. Processor seconds of both sides over the same cases, the first
call apart. Exit code 1 where a difference is above its tolerance, 2 where no metric has such a name.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from metrics_parts.compared import Comparison
from metrics_parts.held import Held, hold

from proofglass.console import say

PARTS = ("labels", "text")
HEAD = ("metric", "reference", "n", "seed", "max difference", "tolerance", "ours/theirs")
WIDTHS = (30, 36, 7, 5, 15, 10, 12)


def comparisons() -> list[Comparison]:
    """Of every part that is there."""
    found = [name for part in PARTS if importlib.util.find_spec(name := f"metrics_parts.{part}")]
    return [each for name in found for each in importlib.import_module(name).COMPARISONS]


def line(held: Held) -> str:
    reference = f"{held.reference} {held.version}" if held.reference else "second derivation"
    told = (held.name, reference, f"{held.n:,}", held.seed, f"{held.worst:.1e}", f"{held.tolerance:.0e}")
    return _row(*told, f"{held.ratio:.2f}")


def _row(*cells: object) -> str:
    return "  ".join(f"{cell!s:{width}}" for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(words)
    if asked.n < 1:
        parser.error(f"--n: expected at least 1, found {asked.n}")
    chosen = [c for c in comparisons() if not asked.names or any(w.lower() in c.name.lower() for w in asked.names)]
    if not chosen:
        say(f"no metric whose name holds {' or '.join(asked.names)}")
        return 2
    say(_row(*HEAD))
    every = []
    for comparison in chosen:
        every.append(hold(comparison, asked.n, asked.seed))
        say(line(every[-1]))
        if not every[-1].holds:
            say(f"  above its tolerance at {every[-1].case}")
    if asked.json:
        told = [{**asdict(held), "ratio": held.ratio, "holds": held.holds} for held in every]
        asked.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0 if all(held.holds for held in every) else 1


if __name__ == "__main__":
    sys.exit(main())
