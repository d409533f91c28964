"""Records in, report out: `write` makes the page, report.json and tables; `terminal` the summary of the console.

Reads a run folder only; knows no attack, defense, victim, data set or judge.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from proofglass.records.store import Store


def write(store: Store, out: Path | None = None) -> Path:
    """Write the report of a run; returns the path of index.html.

    out: folder, default `<run>/report`. It gets index.html (one file, no script, nothing loaded), report.json,
    tables/*.csv and the study as it was read, by which the run can be repeated. What may differ between equal runs
    stands in index.html, under "volatile" in report.json, in tables/volatile.csv and in tables/defense_seconds.csv
    only. Raises StoreError if the folder cannot be written.
    """
    from proofglass.report.page import page, study_file
    from proofglass.report.run import ReportedRun
    from proofglass.report.tables import tables
    from proofglass.report.written import csv_bytes, json_bytes, write_files

    run = ReportedRun(store)
    every = tables(run)
    files = {"index.html": page(run).encode(), "report.json": json_bytes(run, every)}
    files |= {f"tables/{table.name}.csv": csv_bytes(table) for table in every}
    if name := study_file(run):
        files[name] = run.manifest["study_text"].encode("utf-8", "replace")
    folder = Path(out) if out else store.path / "report"
    write_files(folder, files)
    return folder / "index.html"


def terminal(store: Store) -> RenderableType:
    """The headline, the warnings and one attack x defense table per victim, for `rich.print`."""
    from proofglass.report.run import ReportedRun
    from proofglass.report.summary import summary

    return summary(ReportedRun(store))
