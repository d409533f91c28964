"""The sheet that people fill in, and what it brings back.

It is blind: no verdict, attack, defense or victim stands in it, and its order says nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from proofglass.errors import UsageError
from proofglass.records.labels import Labels
from proofglass.records.spreadsheets import csv_cell

if TYPE_CHECKING:
    from proofglass.records.store import Store

SHOWN = ("row", "question", "pictures", "reply")
YES, NO = ("1", "1.0", "yes", "y", "true"), ("0", "0.0", "no", "n", "false")


@dataclass(frozen=True)
class Added:
    """What a sheet brought: labels taken (changed: of replies that had another one), rows left empty, and rows that
    were not taken, each with file and line."""

    aspect: str
    taken: int
    changed: int
    empty: int
    faults: tuple[str, ...]


def add(store: Store, file: Path) -> Added:
    """Take the labels of a sheet that `plan` wrote. A row that is not right costs itself only and is named. Raises
    UsageError if the file is no such sheet, StoreError if it cannot be kept."""
    with store.locked():
        lines = list(_read(file))
        aspect = _aspect(file, lines[0][1] if lines else {})
        labels = store.labels(aspect)
        if labels is None:
            raise UsageError(f"{file}: nothing was drawn for {aspect!r} in {store.path}; `proofglass labels plan` does")
        given, faults, changed, empty = dict(labels.given), [], 0, 0
        seen: dict[str, float] = {}
        for line, row in lines:
            name, word = (row.get("row") or "").strip(), (row.get(aspect) or "").strip().casefold()
            value = 1.0 if word in YES else 0.0 if word in NO else None
            if name not in labels.drawn:
                faults.append(
                    f"{file}:{line}: row: {name[:20]!r} was not drawn in this run; leave that column as it is"
                )
            elif not word:
                empty += 1
            elif value is None:
                faults.append(f"{file}:{line}: {aspect}: expected 1 or 0 (yes, no), found {word[:40]!r}")
            elif seen.setdefault(name, value) != value:
                faults.append(
                    f"{file}:{line}: {aspect}: row {name} was labelled otherwise further up; that one is kept"
                )
            else:
                changed += given.get(name, value) != value
                given[name] = value
        store.put_labels(replace(labels, given=given))
    return Added(aspect, len(seen), changed, empty, tuple(faults))


def csv_bytes(store: Store, labels: Labels, rows: Sequence[str]) -> bytes:
    """The sheet of these rows (each an attempt, named by its key), the column of labels empty."""
    import polars as pl

    names = ("attempt", "attacked_text", "attacked_images", "reply")
    frame = store.scan().select(*names).filter(pl.col("attempt").is_in(rows)).unique("attempt").collect()
    shown = {
        attempt: (text, "; ".join(str(store.image_path(sha)) for sha in shas), reply)
        for attempt, text, shas, reply in frame.iter_rows()
    }
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*SHOWN, labels.aspect])
    writer.writerows([row, *map(csv_cell, shown[row]), ""] for row in rows)
    return buffer.getvalue().encode()


def _read(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line on which a row begins, and its columns. A spreadsheet may have written semicolons. Raises UsageError if the
    file cannot be read as a table."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as handle:
            head = handle.readline()
            handle.seek(0)
            reader = csv.DictReader(handle, delimiter=";" if head.count(";") > head.count(",") else ",")
            last = 1 if reader.fieldnames else 0
            for row in reader:
                yield last + 1, row
                last = reader.line_num
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: cannot be read as CSV in UTF-8: {error}") from error


def _aspect(file: Path, row: Mapping[str, str]) -> str:
    own = [name for name in row if name and name not in SHOWN]
    if "row" not in row or len(own) != 1:
        raise UsageError(
            f"{file}: expected the columns {', '.join(SHOWN)} and one for the labels, as `proofglass labels plan` "
            f"writes them, found {', '.join(map(str, row)) or 'no row'}"
        )
    return own[0]


def check_added(file: Path, labels: Labels) -> None:
    """Raises UsageError rather than write over labels that nobody added."""
    if not file.exists():
        return
    for line, row in _read(file):
        if (row.get(labels.aspect) or "").strip() and (row.get("row") or "") not in labels.given:
            raise UsageError(
                f"{file}:{line}: holds labels that were not added. `proofglass labels add RUN {file}` takes them; or "
                "name another file with --out."
            )
