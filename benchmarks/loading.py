"""How fast data sets are read, and what they hold in memory while they are.

    python benchmarks/loading.py [--pictures 5040] [--rows 1000000]

Two made-up data sets, written to a temporary folder: pictures in the size of MM-SafetyBench (1024 x 1024, JPEG), and a
Parquet table without pictures. Printed: seconds to the first sample, samples per second, and how much the peak of the
process grew, each read in a process of its own; for the table also the plan of a study over it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from proofglass.console import say

CHUNK = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=5040)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--read", metavar="FOLDER", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--plan", metavar="STUDY", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.read is not None:
        say(json.dumps(read(told.read)))
        return
    if told.plan is not None:
        say(json.dumps(plan(told.plan)))
        return
    with tempfile.TemporaryDirectory(prefix="loading-") as folder:
        pictures, rows = Path(folder) / "pictures", Path(folder) / "rows"
        write_pictures(pictures, told.pictures)
        write_rows(rows, told.rows)
        for name, where in (("pictures 1024 x 1024", pictures), ("Parquet, text", rows)):
            found = alone("--read", where)
            say(
                f"{name:<22} {found['n']:>9,} samples  first {found['first']:.2f} s  {found['rate']:>9,.0f} /s  "
                f"peak {found['peak']:,.0f} MB (+{found['grown']:,.0f})"
            )
        found = alone("--plan", rows / "study.yaml")
        say(
            f"{'plan of a study':<22} {found['n']:>9,} samples  {found['seconds']:.1f} s  "
            f"peak {found['peak']:,.0f} MB (+{found['grown']:,.0f})"
        )


def alone(flag: str, where: Path) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, flag, str(where)], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def write_pictures(folder: Path, count: int) -> None:
    """`count` files of sixteen pictures: what takes time is decoding each, not that they differ."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    random = np.random.default_rng(0)
    made = []
    for k in range(16):
        small = Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        small.resize((1024, 1024), Image.Resampling.BICUBIC).save(folder / f"{k}.jpg", quality=90)
        made.append((folder / f"{k}.jpg").read_bytes())
    for k in range(16, count):
        (folder / f"{k}.jpg").write_bytes(made[k % 16])
    lines = [
        json.dumps({"id": str(k), "question": f"What is in picture {k}?", "image": f"{k}.jpg"}) for k in range(count)
    ]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    (folder / "own.json").write_text(json.dumps({"source": "rows.jsonl", "id": "id", "picture": "image"}))


def write_rows(folder: Path, count: int) -> None:
    import polars as pl

    folder.mkdir()
    frame = pl.DataFrame({"id": pl.arange(0, count, eager=True).cast(pl.String)}).with_columns(
        question=pl.concat_str(
            pl.lit("How do I mend the mill wheel of house "), "id", pl.lit(", and what does it cost?")
        ),
        topic=pl.concat_str(pl.lit("topic "), pl.col("id").str.tail(1)),
    )
    frame.write_parquet(folder / "rows.parquet", row_group_size=CHUNK)
    (folder / "own.json").write_text(json.dumps({"source": "rows.parquet", "id": "id", "category": "topic"}))
    (folder / "study.yaml").write_text(
        "name: loading\nvictims: [testbed-linear]\nattacks: [no-attack]\njudges: [not-refused]\ndatasets:\n"
        "  - own: {source: rows.parquet, id: id, category: topic}\n"
    )


def read(folder: Path) -> dict[str, float]:
    from proofglass.evaluation.datasets.own import OwnData

    fields = json.loads((folder / "own.json").read_text())
    dataset = OwnData(**{**fields, "source": folder / fields["source"]})
    before, start = peak(), time.perf_counter()
    rows = iter(dataset)
    next(rows)
    first = time.perf_counter() - start
    n = 1 + sum(1 for _ in rows)
    return {"n": n, "first": first, "rate": n / (time.perf_counter() - start), "peak": peak(), "grown": peak() - before}


def plan(study: Path) -> dict[str, float]:
    from proofglass.studies import load
    from proofglass.studies.plan import expand

    before, start = peak(), time.perf_counter()
    found = expand(load(study))
    return {
        "n": len(found.cells[0].rows),
        "seconds": time.perf_counter() - start,
        "peak": peak(),
        "grown": peak() - before,
    }


def peak() -> float:
    """Peak memory of this process so far, MB. (`getrusage` begins with that of the process which started this one.)"""
    told = Path("/proc/self/status").read_text()
    return int(told.partition("VmHWM:")[2].split()[0]) / 1000


if __name__ == "__main__":
    main()
