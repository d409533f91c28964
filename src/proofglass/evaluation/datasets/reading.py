"""Reading tables of data sets: one place that knows encodings, line ends and broken rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from proofglass.errors import UsageError
from proofglass.types import BadSample


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


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: expected UTF-8, found another encoding at byte {error.start}") from error
