"""The tables of measured cells: a file per cell, and per cell and judge, while they are few; two once they are many.

cells/<cell>.parquet, .json        attempts of a cell; its status and cost
scores/<cell>.<judge key>.parquet  what a judge said about a cell
sealed/cells-<n>.parquet           the rows of many such files, one after the other
sealed/scores-<n>.parquet          likewise
sealed/index.json                  whose rows these are, and how many; the statuses of the cells

A file of its own counts before what is sealed. So a cell that is measured or judged again is written as ever, and
`compact` may be killed at any moment: the files of a new seal are whole before the index names them, and only then are
those deleted that went into them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from proofglass.records.files import unlink
from proofglass.records.manifest import read_json, write_json
from proofglass.records.tables import Tables, write_stream, write_table

if TYPE_CHECKING:
    import polars as pl

MANY = 64  # files of cells, or of scores: from more on they are sealed
_AGAIN = "run the same command again"
FIXES = {
    "cells": f"delete the two files of this cell and {_AGAIN}: its answers are taken from the journal",
    "scores": f"delete it and {_AGAIN}: what was answered is judged anew",
    "sealed": f"delete the folder sealed of this run and {_AGAIN}: its answers are taken from the journal",
}

Table = Literal["cells", "scores"]
TABLES: tuple[Table, ...] = ("cells", "scores")


@dataclass(frozen=True)
class Index:
    """What is sealed. number: part of the names of its files. cells, scores: name -> rows, in their order; statuses:
    cell -> what `put_status` kept."""

    number: int = 0
    cells: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[str, int] = field(default_factory=dict)
    statuses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def rows(self, table: Table) -> Mapping[str, int]:
        return self.cells if table == "cells" else self.scores


class Cells:
    """The tables in the run folder at `path`. Rows are named by their cell, in "scores" by "<cell>.<judge key>"."""

    def __init__(self, path: Path, tables: Tables) -> None:
        self.path, self.tables = path, tables
        self._known: tuple[tuple[int, int], Index] = (0, 0), Index()

    # Reading

    def status(self, cell: str) -> dict[str, Any]:
        """What is known of a cell; empty if nothing is."""
        path = self._status(cell)
        return read_json(path, FIXES["cells"]) if path.exists() else dict(self.index().statuses.get(cell, {}))

    def has(self, table: Table, name: str) -> bool:
        return self.file(table, name).exists() or name in self.index().rows(table)

    def rows(self, table: Table, names: Iterable[str]) -> list[pl.LazyFrame]:
        """The rows of these names, as far as there are any: frames which, one behind the other, are in this order."""
        index = self.index()
        sealed = index.rows(table)
        rank = {name: k for k, name in enumerate(sealed)}
        starts = dict(zip(sealed, accumulate(sealed.values(), initial=0), strict=False))
        own = {name for name in names if self.file(table, name).exists()}
        there = enumerate(name for name in names if name in own or name in rank)
        found = []
        # Neighbours are read together: as long as both ranks grow by one, their difference stays.
        for gap, some in groupby(there, key=lambda each: None if each[1] in own else rank[each[1]] - each[0]):
            members = [name for _, name in some]
            if gap is None:
                found.append(self.tables.scan([self.file(table, name) for name in members], FIXES[table]))
            else:
                whole = self.tables.scan([self._sealed(table, index.number)], FIXES["sealed"])
                found.append(whole.slice(starts[members[0]], sum(sealed[name] for name in members)))
        return found

    def index(self) -> Index:
        """What is sealed now: another process may have sealed more since."""
        path = self._index
        if not path.exists():
            return Index()
        stat = path.stat()
        if self._known[0] != (stat.st_mtime_ns, stat.st_size):
            self._known = (stat.st_mtime_ns, stat.st_size), Index(**read_json(path, FIXES["sealed"]))
        return self._known[1]

    def file(self, table: Table, name: str) -> Path:
        """Where these rows lie while they are not sealed."""
        return self.path / table / f"{name}.parquet"

    # Writing

    def put_rows(self, table: Table, name: str, rows: pl.DataFrame) -> None:
        write_table(self.file(table, name), rows)

    def put_status(self, cell: str, status: Mapping[str, Any]) -> None:
        write_json(self._status(cell), status)

    def compact(self, order: Sequence[str]) -> None:
        """Seal all files, if they are many. order: of the cells; what stands in no plan any more comes behind them."""
        if max(len(self._own(table)) for table in TABLES) <= MANY:
            return
        rank = {cell: k for k, cell in enumerate(order)}

        def place(name: str) -> int:
            return rank.get(name.partition(".")[0], len(rank))

        every = {table: {*self.index().rows(table), *self._own(table)} for table in TABLES}
        statuses = {*self.index().statuses, *(path.stem for path in (self.path / "cells").glob("*.json"))}
        self._seal({table: sorted(sorted(names), key=place) for table, names in every.items()}, sorted(statuses))

    def keep(self, kept: Mapping[Table, Sequence[str]]) -> tuple[int, int]:
        """Delete all rows and statuses but those of these names. Returns how many files and bytes less there are."""
        before = self._sizes()
        for table, names in kept.items():
            for path in (self.path / table).glob("*.*"):
                if path.name.rpartition(".")[0] not in names:
                    unlink(path)
        if any(set(self.index().rows(table)) - set(names) for table, names in kept.items()):
            self._seal(
                {table: [n for n in names if self.has(table, n)] for table, names in kept.items()}, kept["cells"]
            )
        after = self._sizes()
        return len(before) - len(after), sum(before) - sum(after)

    def _seal(self, names: Mapping[Table, Sequence[str]], cells: Sequence[str]) -> None:
        """Put the rows of these names and the statuses of these cells into new files, then delete what they replace."""
        number = self.index().number + 1
        counts = {table: self._sealed_rows(table, number, names[table]) for table in TABLES}
        statuses = {cell: status for cell in cells if (status := self.status(cell))}
        replaced = [self.file(table, name) for table in TABLES for name in names[table]]
        replaced += [self._status(cell) for cell in statuses]
        write_json(self._index, asdict(Index(number, counts["cells"], counts["scores"], statuses)))
        replaced += [path for path in self._index.parent.glob("*.parquet") if not path.stem.endswith(f"-{number}")]
        for path in replaced:
            unlink(path)

    def _sealed_rows(self, table: Table, number: int, names: Sequence[str]) -> dict[str, int]:
        """Write the rows of these names; how many each has."""
        import polars as pl

        path, parts = self._sealed(table, number), self.rows(table, names)
        if not parts:
            return {}
        write_stream(path, pl.concat(parts))
        by = [pl.col(name).cast(pl.String()) for name in ("cell", "judge_key")[: TABLES.index(table) + 1]]
        counts = pl.scan_parquet(path).select(pl.concat_str(by, separator=".").alias("name")).group_by("name").len()
        found = dict(counts.collect().rows())
        return {name: found.get(name, 0) for name in names}

    def _sizes(self) -> list[int]:
        folders = [self.path / folder for folder in (*TABLES, "sealed")]
        return [path.stat().st_size for folder in folders for path in folder.glob("*.*")]

    def _own(self, table: Table) -> list[str]:
        """What has a file of its own."""
        return sorted(path.name.removesuffix(".parquet") for path in (self.path / table).glob("*.parquet"))

    def _sealed(self, table: Table, number: int) -> Path:
        return self.path / "sealed" / f"{table}-{number}.parquet"

    @property
    def _index(self) -> Path:
        return self.path / "sealed" / "index.json"

    def _status(self, cell: str) -> Path:
        return self.path / "cells" / f"{cell}.json"
