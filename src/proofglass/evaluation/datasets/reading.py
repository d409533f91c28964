"""Reading tables of data sets: one place that knows encodings, line ends and broken rows."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from proofglass import images
from proofglass.errors import ImageError, UsageError
from proofglass.types import BadSample, Image


def read_csv(path: Path, columns: Sequence[str], dataset: str) -> Iterator[dict[str, str] | BadSample]:
    """Rows of a CSV file with a header, as dicts; a malformed row is a BadSample that names its line.

    Bytes are decoded here and nowhere else: UTF-8, with or without a byte order mark, LF or CRLF. Columns beyond
    `columns` are kept. Raises UsageError for a missing file, another encoding or a missing column.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    header = next(reader, [])
    for column in columns:
        if column not in header:
            raise UsageError(
                f"{path}: no column {column!r}; expected {', '.join(columns)}; found {', '.join(header) or 'nothing'}"
            )
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadSample(f"{path.name}:{line}", dataset, f"line {line}: {error}")
            continue
        if not row:
            continue
        if len(row) != len(header):
            reason = f"line {line}: expected {len(header)} fields, found {len(row)}"
            yield BadSample(f"{path.name}:{line}", dataset, reason)
            continue
        yield dict(zip(header, row, strict=True))


def read_json(path: Path, fields: Sequence[str], dataset: str) -> Iterator[dict[str, Any] | BadSample]:
    """Objects of a JSON file that holds one list of them; a malformed one is a BadSample that names its place (from 0).

    Fields beyond `fields` are kept. Raises UsageError for a missing file, another encoding, or anything but a list.
    """
    try:
        rows = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: expected JSON: {error.msg}") from error
    if not isinstance(rows, list):
        raise UsageError(f"{path}: expected a list of objects, found {type(rows).__name__}")
    for place, row in enumerate(rows):
        lacking = [field for field in fields if field not in row] if isinstance(row, dict) else list(fields)
        if lacking:
            yield BadSample(f"{path.name}:{place}", dataset, f"entry {place}: no {', '.join(lacking)}")
        else:
            yield row


def digest_of(path: Path, dataset: str) -> str:
    """Sha256 of a table: part of a data set's key, so that an edited file is another data set. Raises UsageError."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{dataset}: cannot read {path}: {error.strerror or error}") from error


def picture_in(folder: Path, name: str) -> Image:
    """The picture that a table names, relative to `folder`. Raises ImageError, also for a name that leads out of it."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ImageError(f"{name}: leads out of the data set's folder")
    return images.read(path)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: expected UTF-8, found another encoding at byte {error.start}") from error
