"""Parquet files of a run folder: written whole with their checksum, scanned once it was seen to fit."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from proofglass.records.checksums import check_parquet, sign_parquet, signed_parquet
from proofglass.records.files import appearing, guarded, write_whole

if TYPE_CHECKING:
    import polars as pl


GROUP = 65_536  # rows that are read together, if one of them is: each different text of a chat stands there once


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write `frame`, which is small, as a whole. Raises StoreError if that cannot be done."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, row_group_size=GROUP)
    write_whole(path, signed_parquet(buffer.getvalue(), path.name))


def write_stream(path: Path, rows: pl.LazyFrame) -> None:
    """Write `rows` without ever holding all of them in memory. Whole or absent, as `write_table`."""
    with appearing(path) as temporary:
        rows.sink_parquet(temporary, row_group_size=GROUP)
        sign_parquet(temporary, path.name)


class Tables:
    """Reads the Parquet files of a run folder. Each is compared with its checksum when it is opened first, and again
    once its size or time says that it is another file: a query then reads the columns that it needs, and no more."""

    def __init__(self) -> None:
        self._fits: dict[Path, tuple[int, int]] = {}

    def check(self, path: Path, fix: str) -> None:
        """Raises StoreError if `path` cannot be read, is damaged or another file. fix: how to go on without a copy."""
        with guarded(path, "read"):
            stat = path.stat()
            if self._fits.get(path) != (stat.st_size, stat.st_mtime_ns):
                check_parquet(path, fix)
                self._fits[path] = (stat.st_size, stat.st_mtime_ns)

    def scan(self, paths: Sequence[Path], fix: str) -> pl.LazyFrame:
        """The rows of these files (at least one), in this order. Raises StoreError as `check` does."""
        import polars as pl

        for path in paths:
            self.check(path, fix)
        return pl.scan_parquet(list(paths), glob=False)
