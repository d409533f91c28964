"""Rows of a table in any layout that benchmarks come in, one after another: CSV, TSV, JSON, JSON Lines (packed by gzip
or xz, too), Parquet.

A row that cannot be used is a BadSample that names its place and costs itself. JSON Lines and Parquet are streamed, so
that a million rows take no more memory than a thousand.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from proofglass.errors import ImageError, UsageError, is_environment
from proofglass.evaluation.datasets.reading import csv_rows, text_of, too_long
from proofglass.types import BadSample, Sample

MAX_LINE = 64 * 2**20  # bytes of one line of JSON Lines
BATCH = 512  # rows of Parquet held at a time

Values = Mapping[str, Any]
_PACKED = (".gz", ".xz")


@dataclass(frozen=True)
class Row:
    """One row. place: where it stands ("line 3", "entry 7", "row 12"); values: column -> value."""

    place: str
    values: Values

    def text(self, name: str, *, empty: bool = False) -> str:
        """A text, stripped; a number as one. Raises ValueError for anything else, and, unless `empty`, for none."""
        value = _told(self.values.get(name))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        if value is None and empty:
            return ""
        if not isinstance(value, str) or not (value.strip() or empty):
            raise ValueError(f"{name}: expected a text, found {_shown(value)}")
        return value.strip()

    def number(self, name: str) -> int:
        """A whole number, or a text that is one. Raises ValueError for anything else."""
        value = self.values.get(name)
        if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{name}: expected a whole number, found {_shown(value)}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, or one text; numbers count as texts. Raises ValueError for anything else."""
        value = _told(self.values.get(name))
        several = [_told(each) for each in value] if isinstance(value, (list, tuple)) else [value]
        if odd := [each for each in several if not isinstance(each, (str, int, float)) or isinstance(each, bool)]:
            raise ValueError(f"{name}: expected a list of texts, found {_shown(odd[0])} in it")
        return tuple(map(str, several))

    def choice(self, name: str, among: Sequence[str]) -> str:
        """One of these texts. Raises ValueError for anything else."""
        value = self.values.get(name)
        if value not in among:
            raise ValueError(f"{name}: expected one of {', '.join(among)}, found {_shown(value)}")
        return str(value)


def _told(value: Any) -> Any:
    """None for what is not a number: how tables of numbers say that there is none."""
    return None if isinstance(value, float) and value != value else value


def _shown(value: Any) -> str:
    return f"a {type(value).__name__}" if isinstance(value, (list, dict, bytes)) else f"{value!r:.80}"


def sampled(
    rows: Iterable[Row | BadSample], make: Callable[[Row], Sample | Iterable[Sample]], dataset: str, prefix: str = ""
) -> Iterator[Sample | BadSample]:
    """What `make` makes of each row: a sample, or several. A row of which it raises ValueError or ImageError is a
    BadSample with its place and that reason. prefix: of the ids of bad rows, "": the data set's name. It keeps rows
    of several tables with one name apart."""
    for row in rows:
        if isinstance(row, BadSample):
            yield replace(row, id=f"{prefix}/{row.id}") if prefix else row
            continue
        try:
            made = make(row)
            yield from [made] if isinstance(made, Sample) else list(made)
        except (ValueError, ImageError) as error:
            if is_environment(error):
                raise
            yield BadSample(f"{prefix or dataset}/{row.place.replace(' ', '-')}", dataset, f"{row.place}: {error}")


def rows_of(path: Path, needed: Sequence[str] = (), *, dataset: str = "", key: str = "") -> Iterator[Row | BadSample]:
    """The rows of the table in `path`, by its suffix: .csv, .tsv, .json, .jsonl (.ndjson, .jsonl.gz, .jsonl.xz),
    .parquet.

    needed: columns that a row must have; others are kept. key: the name under which the key of a JSON object of objects
    ({"1": {...}, "2": {...}}) joins its row. Raises UsageError for a missing file, another suffix, another encoding
    than UTF-8, a column that a whole table lacks, and what is no table.
    """
    suffix = "".join(path.suffixes[-2:] if path.suffix.casefold() in _PACKED else path.suffixes[-1:]).casefold()
    readers: dict[str, Callable[[], Iterator[Row | BadSample]]] = {
        ".csv": lambda: _of_csv(path, needed, dataset, ","),
        ".tsv": lambda: _of_csv(path, needed, dataset, "\t"),
        ".json": lambda: _of_json(path, dataset, key),
        ".jsonl": lambda: _of_lines(path, dataset),
        ".ndjson": lambda: _of_lines(path, dataset),
        **{f".jsonl{packed}": lambda: _of_lines(path, dataset) for packed in _PACKED},
        ".parquet": lambda: _of_parquet(path, needed),
    }
    if suffix not in readers:
        raise UsageError(f"{path}: expected a table that ends in {', '.join(readers)}")
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    for row in readers[suffix]():
        yield row if isinstance(row, BadSample) else _checked(path, row, needed, dataset)


def header_of(path: Path) -> list[str] | None:
    """The columns of a table that `rows_of` can read and that has a header, above rows or none (.csv, .tsv, .parquet);
    None for the others."""
    suffix = path.suffix.casefold()
    if suffix == ".parquet":
        import polars as pl

        return list(pl.read_parquet_schema(path))
    if suffix not in (".csv", ".tsv"):
        return None
    text = io.StringIO(text_of(path), newline="")
    return next(csv.reader(text, delimiter="," if suffix == ".csv" else "\t", strict=True), [])


def _checked(path: Path, row: Row, needed: Sequence[str], dataset: str) -> Row | BadSample:
    lacking = [name for name in needed if name not in row.values]
    if lacking:
        found = ", ".join(map(str, row.values)) or "nothing"
        return _bad(path, row.place, f"no {', '.join(lacking)}; found {found[:200]}", dataset)
    long = too_long(row.values)
    return _bad(path, row.place, long, dataset) if long else row


def _bad(path: Path, place: str, reason: str, dataset: str) -> BadSample:
    return BadSample(f"{path.name}:{place.rpartition(' ')[2]}", dataset, f"{place}: {reason}")


def _of_csv(path: Path, needed: Sequence[str], dataset: str, delimiter: str) -> Iterator[Row | BadSample]:
    for line, row in csv_rows(text_of(path), path, needed, dataset, delimiter):
        yield row if isinstance(row, BadSample) else Row(f"line {line}", row)


def _of_lines(path: Path, dataset: str) -> Iterator[Row | BadSample]:
    line = 0
    try:
        with _opened(path) as file:
            while data := file.readline(MAX_LINE + 1):
                line += 1
                if len(data) > MAX_LINE:
                    while data and not data.endswith(b"\n"):
                        data = file.readline(MAX_LINE)
                    yield _bad(path, f"line {line}", f"longer than {MAX_LINE // 2**20} MB", dataset)
                    continue
                found = _line(path, line, data.removeprefix(b"\xef\xbb\xbf") if line == 1 else data, dataset)
                if found is not None:
                    yield found
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if is_environment(error):
            raise
        raise UsageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _opened(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked as they are read."""
    if path.suffix.casefold() == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return lzma.open(path, "rb") if path.suffix.casefold() == ".xz" else path.open("rb")


def _line(path: Path, line: int, data: bytes, dataset: str) -> Row | BadSample | None:
    place = f"line {line}"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _bad(path, place, f"expected UTF-8, found another encoding at byte {error.start}", dataset)
    if not text.strip():
        return None
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, a list in a list in a list ...
        return _bad(path, place, f"expected JSON: {getattr(error, 'msg', error)}", dataset)
    return _object(path, place, row, dataset)


def _object(path: Path, place: str, row: Any, dataset: str) -> Row | BadSample:
    if not isinstance(row, dict):
        return _bad(path, place, f"expected an object, found a {type(row).__name__}", dataset)
    return Row(place, row)


def _of_json(path: Path, dataset: str, key: str) -> Iterator[Row | BadSample]:
    try:
        told = json.loads(text_of(path))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: expected JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: expected JSON: {error}") from error
    if isinstance(told, dict) and key:
        for name, row in told.items():
            found = _object(path, f"entry {name}", row, dataset)
            yield Row(found.place, {**found.values, key: name}) if isinstance(found, Row) else found
        return
    if not isinstance(told, list):
        expected = "an object of objects" if key else "a list of objects"
        shown = "an object" if isinstance(told, dict) else f"{told!r:.80}"
        raise UsageError(f"{path}: expected {expected}, found {shown}")
    for place, row in enumerate(told):
        yield _object(path, f"entry {place}", row, dataset)


def _of_parquet(path: Path, needed: Sequence[str]) -> Iterator[Row | BadSample]:
    import polars as pl

    try:
        frame = pl.scan_parquet(path)
        columns = frame.collect_schema().names()
        lacking = [name for name in needed if name not in columns]
        if lacking:
            raise UsageError(f"{path}: no column {', '.join(lacking)}; found {', '.join(columns) or 'nothing'}")
        number = 0
        for batch in frame.collect_batches(chunk_size=BATCH, maintain_order=True):
            for values in batch.iter_rows(named=True):
                number += 1
                yield Row(f"row {number}", values)
    except (pl.exceptions.PolarsError, OSError) as error:
        if is_environment(error):
            raise
        raise UsageError(f"{path}: no Parquet file that can be read: {str(error).splitlines()[0]}") from error
