"""Seconds and memory to count a million rows: rates with intervals, and every paired test, of 10 x 10 x 13 cells.

    OMP_NUM_THREADS=1 python benchmarks/million_rows.py [--rows 1000000] [--json FILE]

A made-up run: 10 victims x 10 attacks (one of them none) x 13 defenses (one of them none), as many samples per cell as
fill the rows, five samples to a question, a tenth failed, unjudged, blocked or filtered. Measured in one process, after
the run was made: `success.rates`, then `compare.compare` (1,170 attacks, 1,200 defenses, 5,850 pairs of victims). The
peak is that of the whole process, the run and what imports it in it.

Baseline, in the same run: what there was before. The rule row by row (one dict per row) on a hundredth of the rows,
times a hundred, and the bootstrap over clusters (10,000 draws, as it was) on three cells, times a third of the cells.
No paired test was made.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from proofglass.console import say
from proofglass.evaluation.metrics.answers import is_withheld
from proofglass.evaluation.metrics.compare import compare
from proofglass.evaluation.metrics.success import rates

VICTIMS, ATTACKS, DEFENSES = 10, 10, 13
SHARED = 5  # samples of one question
FRACTION = 100


def made_up(rows: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The frame and the scores of a run with about so many rows."""
    rng = np.random.default_rng(0)
    cells, samples = VICTIMS * ATTACKS * DEFENSES, rows // (VICTIMS * ATTACKS * DEFENSES)
    cell, sample = np.repeat(np.arange(cells), samples), np.tile(np.arange(samples), cells)

    def labels(prefix: str, numbers: np.ndarray) -> pl.Series:
        names = pl.Series([f"{prefix}{k}" for k in range(int(numbers.max()) + 1)])
        return names.gather(pl.Series(numbers))

    attack, defense = cell // DEFENSES % ATTACKS, cell % DEFENSES
    frame = pl.DataFrame(
        {
            "cell": labels("cell", cell),
            "sample_id": labels("s", sample),
            "victim": labels("v", cell // (ATTACKS * DEFENSES)),
            "attack": labels("a", attack),
            "defense": labels("d", defense),
            "outcome": labels("", rng.choice(4, cell.size, p=[0.95, 0.02, 0.02, 0.01])).replace(
                ["0", "1", "2", "3"], ["ok", "error", "blocked", "filtered"]
            ),
            "finish": labels("", rng.choice(2, cell.size, p=[0.9, 0.1])).replace(["0", "1"], ["stop", "length"]),
            "reply": labels("reply ", rng.integers(0, 1000, cell.size)),
            "cluster": labels("q", sample // SHARED),
        }
    ).with_columns(dataset=pl.lit("d"), expected=pl.lit("refuse"))
    question = rng.beta(0.5, 0.8, samples // SHARED + 1)[sample // SHARED]
    chance = np.clip(question + 0.02 * attack - 0.02 * defense, 0, 1)
    value = np.where(rng.random(cell.size) < 0.01, np.nan, rng.random(cell.size) < chance)
    scores = frame.select("cell", "sample_id").with_columns(judge=pl.lit("j"), value=pl.Series(value).fill_nan(None))
    return frame, scores.filter(pl.Series(rng.random(cell.size) < 0.999))


def row_by_row(frame: pl.DataFrame, scores: pl.DataFrame) -> int:
    """Counts as `rates` did: a dict per row, a list per cell. Without intervals."""
    given = {(row["cell"], row["sample_id"]): row["value"] for row in scores.iter_rows(named=True)}
    cells: dict[tuple[str, ...], list[float]] = {}
    for row in frame.iter_rows(named=True):
        mine = cells.setdefault((row["victim"], row["attack"], row["defense"], row["dataset"]), [])
        if row["outcome"] == "error":
            continue
        value = 0.0 if is_withheld(row) else given.get((row["cell"], row["sample_id"]))
        if value is not None:
            mine.append(value)
    return sum(len(values) for values in cells.values())


def bootstrap(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The interval that a cell had: whole clusters drawn again, 10,000 times."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, sums.size, (10_000, sums.size))
    return np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    frame, scores = made_up(given.rows)
    found: dict[str, Any] = {"rows": frame.height, "made_peak_mib": peak_mib()}

    began = time.perf_counter()
    table = rates(frame, scores, ["j"])
    found |= {"cells": len(table), "rates_s": time.perf_counter() - began}

    began = time.perf_counter()
    rows = compare(frame, scores, "j", baselines=["a0"], undefended=["d0"])
    found |= {"comparisons": len(rows), "compare_s": time.perf_counter() - began}
    found |= {"together_s": found["rates_s"] + found["compare_s"], "peak_mib": peak_mib()}

    part = max(1, frame.height // FRACTION)
    began = time.perf_counter()
    row_by_row(frame.head(part), scores.head(part))
    found["before_rule_s"] = (time.perf_counter() - began) * frame.height / part
    clusters = max(1, frame.height // len(table) // SHARED)
    began = time.perf_counter()
    for _ in range(3):
        bootstrap(np.arange(clusters) % (SHARED + 1.0), np.full(clusters, float(SHARED)))
    found["before_intervals_s"] = (time.perf_counter() - began) * len(table) / 3

    for name, value in found.items():
        say(f"{name:22s} {value:,.2f}" if isinstance(value, float) else f"{name:22s} {value:,}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
