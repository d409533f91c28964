"""Seconds of CPU and memory to plan a study of one data set of 10^4, 10^5 and 10^6 rows, and to read its rows again.

    OMP_NUM_THREADS=1 python benchmarks/plan_rows.py [--rows 10000 100000 1000000] [--json FILE]

Each size in a process of its own, since a peak never falls. A made-up data set of text questions that holds nothing
itself, two victims behind two defenses: a plan of four cells that share its rows. `plan`: `studies.plan.expand`;
`chunks`: one pass over the rows of a cell, as a run makes it, each chunk held against its digest. The peak is that of
the whole process; `grown` is what it grew by from the imports on. `list`: what the process grows by if the same rows
are kept instead, as plans did before.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from proofglass import api
from proofglass.console import say
from proofglass.interfaces import Dataset, Victim
from proofglass.studies.plan import expand
from proofglass.studies.study import Item
from proofglass.types import Ask, Chat, Reply, Sample, Settings

CHUNK = 100


@dataclass(frozen=True)
class Questions(Dataset):
    """n text questions with what a benchmark's row has."""

    name = "questions"
    n: int = 10_000

    def __iter__(self) -> Iterator[Sample]:
        for k in range(self.n):
            yield Sample(
                f"questions/{k:07d}",
                "questions",
                Chat.user(f"What does the picture of house number {k} in the old part of the town show?"),
                cluster=f"q{k // 5}",
                category=f"c{k % 13}",
                expected="comply",
                references=(f"house {k}",),
                meta={"source": "made up", "row": k},
            )


class Silent(Victim):
    """Never asked here."""

    name = "silent"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        raise AssertionError("planning asks nobody")


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def planned(rows: int) -> dict[str, float]:
    """Figures of one size."""
    study = api.cell_study(Silent(), "no-attack", Questions(rows), "none", ["not-refused"], 0, Settings(), CHUNK)
    defense = Item("self-moderation", "b", api.defense("self-moderation"), lambda: None, {})  # type: ignore[arg-type]
    study = replace(
        study, defenses=(*study.defenses, defense), victims=(*study.victims, replace(study.victims[0], label="b"))
    )
    before, began = peak_mib(), time.process_time()
    plan = expand(study)
    found = {"rows": rows, "cells": len(plan.cells), "plan_s": time.process_time() - began}
    began = time.process_time()
    count = sum(len(chunk) for chunk in plan.cells[0].rows.chunks())
    assert count == rows == len(plan.cells[-1].rows)
    return found | {"chunks_s": time.process_time() - began, "peak_mib": peak_mib(), "grown_mib": peak_mib() - before}


def listed(rows: int) -> dict[str, float]:
    """What keeping the rows takes."""
    before = peak_mib()
    kept = list(Questions(rows))
    return {"list_mib": peak_mib() - before, "kept": len(kept)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    context, table = multiprocessing.get_context("spawn"), []
    for rows in given.rows:
        with context.Pool(1) as one, context.Pool(1) as other:
            table.append(one.apply(planned, (rows,)) | other.apply(listed, (rows,)))
    say(f"{'rows':>10}{'plan':>10}{'chunks':>10}{'peak':>12}{'grown':>12}{'list':>12}")
    for row in table:
        say(
            f"{row['rows']:>10,}{row['plan_s']:>8.1f} s{row['chunks_s']:>8.1f} s{row['peak_mib']:>8.0f} MiB"
            f"{row['grown_mib']:>8.0f} MiB{row['list_mib']:>8.0f} MiB"
        )
    if given.json:
        given.json.write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
