"""The samples that were asked about, one file per data set: `samples/<data set key>.parquet`.

A sample is named by its content, so each stands there once, whatever cells ask about it; records hold the name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proofglass.errors import StoreError
from proofglass.records.tables import Tables, write_table
from proofglass.records.views import sample_schema

if TYPE_CHECKING:
    import polars as pl

FIX = (
    "delete the folders samples, cells and sealed of this run and run the same command again: its answers are taken "
    "from the journal"
)


class Samples:
    """Those of the run folder at `path`."""

    def __init__(self, path: Path, tables: Tables) -> None:
        self.folder, self.tables = path / "samples", tables

    def scan(self) -> pl.LazyFrame:
        """All of them, each once. Raises StoreError if a file is damaged."""
        import polars as pl

        files = self.files()
        if not files:
            return pl.LazyFrame(schema=sample_schema())
        rows = self.tables.scan(files, FIX)
        # Two keys of one data set (another version of its reader) may share samples.
        return rows if len(files) == 1 else rows.unique("sample", keep="first", maintain_order=True)

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))

    def file(self, dataset_key: str) -> Path:
        return self.folder / f"{dataset_key}.parquet"

    def put(self, dataset_key: str, rows: pl.DataFrame) -> None:
        """Keep those of these samples that are not there yet. Raises StoreError if that cannot be done."""
        import polars as pl

        path = self.file(dataset_key)
        if not path.exists():
            write_table(path, rows)
            return
        known = self.tables.scan([path], FIX)
        new = rows.join(known.select("sample").collect(), on="sample", how="anti", maintain_order="left")
        if not new.is_empty():
            write_table(path, pl.concat([known.collect(), new]))


def whole(found: pl.DataFrame) -> pl.DataFrame:
    """`found`, records with the columns of their samples. Raises StoreError if the sample of a record is gone: nothing
    else says what is wanted of it."""
    if found["expected"].null_count():
        raise StoreError(f"samples of some records are gone. Restore them from a copy, or {FIX}.")
    return found
