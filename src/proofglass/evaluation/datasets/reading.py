"""Reading tables of data sets: one place that knows encodings, line ends and broken rows."""

from __future__ import annotations

import csv
import functools
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from proofglass import images
from proofglass.errors import ImageError, UsageError, is_environment
from proofglass.types import BadSample, Image

MAX_NAME = 1000  # characters of a picture's name in a table
MAX_SHOWN = 80  # of them in an error
LONGEST = 2**31 - 1  # characters of a field that the csv module hands on
AGAIN = 1_000_000  # lines that are read a second time, in all, because a quote above them was never closed
MAX_FIELD = 1_000_000  # characters of one text: no question is longer, and one of 50 MB would take all with it


def read_csv(path: Path, columns: Sequence[str], dataset: str) -> Iterator[dict[str, str] | BadSample]:
    """Rows of a CSV file with a header, as dicts; a malformed row is a BadSample that names its line.

    Bytes are decoded here and nowhere else: UTF-8, with or without a byte order mark, LF or CRLF. Columns beyond
    `columns` are kept. Raises UsageError for a missing file, another encoding or a missing column.
    """
    for _, row in csv_rows(text_of(path), path, columns, dataset):
        yield row


def csv_rows(
    text: str, path: Path, columns: Sequence[str], dataset: str, delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str] | BadSample]]:
    """As `read_csv`, of a `text` that came from `path` somehow, each row with the line on which it begins. A quote that
    nothing closes costs the line that opens it: the lines below it are rows of their own."""
    csv.field_size_limit(LONGEST)  # what is too long is told with its column (`too_long`)
    file, above, again = io.StringIO(text, newline=""), 0, AGAIN
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise UsageError(f"{path}: expected a table with a header: {error}") from error
    if twice := next((name for name in header if name.strip() and header.count(name) > 1), ""):
        raise UsageError(f"{path}: two columns are named {twice!r}; which one counts?")
    for column in columns:
        if column not in header:
            found = ", ".join(header)[:500] or "nothing"
            raise UsageError(f"{path}: no column {column!r}; expected {', '.join(columns)}; found {found}")
    while True:
        line, begins = above + reader.line_num + 1, file.tell()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason, over = f"line {line}: {error}", above + reader.line_num - line
            if 0 < over <= again:
                reason += f"; a quote that opens here runs on to line {line + over}: the lines below it are read anew"
                file.seek(begins)
                file.readline()
                above, again, reader = line, again - over, csv.reader(file, delimiter=delimiter, strict=True)
            yield line, BadSample(f"{path.name}:{line}", dataset, reason)
            continue
        if not row:
            continue
        if len(row) != len(header):
            reason = f"line {line}: expected {len(header)} fields, found {len(row)}"
            yield line, BadSample(f"{path.name}:{line}", dataset, reason)
            continue
        values = dict(zip(header, row, strict=True))
        if long := too_long(values):
            yield line, BadSample(f"{path.name}:{line}", dataset, f"line {line}: {long}")
            continue
        yield line, values


def read_json(path: Path, fields: Sequence[str], dataset: str) -> Iterator[dict[str, Any] | BadSample]:
    """Objects of a JSON file that holds one list of them; a malformed one is a BadSample that names its place (from 0).

    Fields beyond `fields` are kept. Raises UsageError for a missing file, another encoding, or anything but a list.
    """
    try:
        rows = json.loads(text_of(path))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: expected JSON: {error.msg}") from error
    if not isinstance(rows, list):
        raise UsageError(f"{path}: expected a list of objects, found {type(rows).__name__}")
    for place, row in enumerate(rows):
        lacking = [field for field in fields if field not in row] if isinstance(row, dict) else list(fields)
        if lacking:
            yield BadSample(f"{path.name}:{place}", dataset, f"entry {place}: no {', '.join(lacking)}")
        elif long := too_long(row):
            yield BadSample(f"{path.name}:{place}", dataset, f"entry {place}: {long}")
        else:
            yield row


def too_long(row: Mapping[str, Any]) -> str:
    """Which field of a row holds a text of more than `MAX_FIELD` characters, however deep in it; "" for none."""
    for name, value in row.items():
        left = [value]
        while left:
            each = left.pop()
            if isinstance(each, str) and len(each) > MAX_FIELD:
                return f"{name}: {len(each):,} characters, expected at most {MAX_FIELD:,}"
            if isinstance(each, Mapping):
                left += each.values()
            elif isinstance(each, (list, tuple)):
                left += each
    return ""


def picture_in(folder: Path, name: str) -> Image:
    """The picture that a table names, relative to `folder`: the one way in which loaders open pictures.

    A table is input from strangers. Raises ImageError for a name that leads out of the folder (absolute, of any system;
    with ".."; through a link), that no disk can hold (NUL, too long, half a character), that is no file (a folder, a
    pipe, a device), and for a broken picture.
    """
    shown = repr(name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}...")
    if any(path.anchor or ".." in path.parts for path in (PurePosixPath(name), PureWindowsPath(name))):
        raise ImageError(f"{shown}: leads out of the data set's folder")
    if len(name) > MAX_NAME:
        raise ImageError(f"{shown}: cannot be read: a name of {len(name)} characters, expected at most {MAX_NAME}")
    try:
        root = folder.resolve()
        path = _found(root, name).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        if is_environment(error):
            raise
        raise ImageError(f"{shown}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not path.is_relative_to(root):
        raise ImageError(f"{shown}: leads out of the data set's folder, through a link")
    return images.read(path)


def _found(root: Path, name: str) -> Path:
    """`root / name`, or, where nothing of this name is there, the one file in its folder that differs in case only:
    tables and disks disagree about `.JPG`."""
    path = root / name
    if path.exists() or not path.parent.is_dir():
        return path
    alike = _by_folded_name(path.parent, path.parent.stat().st_mtime_ns).get(path.name.casefold(), ())
    return path.parent / alike[0] if len(alike) == 1 else path


@functools.lru_cache(maxsize=64)
def _by_folded_name(folder: Path, changed: int) -> dict[str, tuple[str, ...]]:
    """Name without its case -> the names in `folder`. changed: when, so that a new file is seen."""
    found: dict[str, tuple[str, ...]] = {}
    for name in os.listdir(folder):
        found[name.casefold()] = (*found.get(name.casefold(), ()), name)
    return found


def text_of(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark. Raises UsageError for anything else."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: expected UTF-8, found another encoding at byte {error.start}") from error
