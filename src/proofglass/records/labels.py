"""What people said about replies of a run: one file per aspect, `labels/<aspect>.json`, which no rerun touches.

A label counts only for a reply that was drawn for labelling, and the file says how: at random within each verdict of
one judge. Without that, labels of replies that somebody picked would pass for a sample.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from proofglass.errors import UsageError
from proofglass.records.manifest import read_json, write_json

_FIX = "restore it from a copy: what people said cannot be made again"


@dataclass(frozen=True)
class Labels:
    """aspect: what people were asked, a judge's name or its own word for it; judge, judge_key: by whose verdicts
    replies were drawn (label and key); drawn: row -> (cell, sample id); given: row -> 1.0 yes or 0.0 no."""

    aspect: str
    judge: str
    judge_key: str
    drawn: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    given: Mapping[str, float] = field(default_factory=dict)

    def of(self, cell: str) -> dict[str, float]:
        """Sample id -> label, of one cell."""
        return {
            sample: self.given[row]
            for row, (place, sample) in self.drawn.items()
            if place == cell and row in self.given
        }


def row_of(cell: str, sample_id: str) -> str:
    """The name of a reply on a sheet: says nothing of attack, defense or verdict to who labels it."""
    return hashlib.sha256(f"{cell}\0{sample_id}".encode()).hexdigest()[:12]


def path_of(folder: Path, aspect: str) -> Path:
    """Raises UsageError for an aspect that is no plain word: it names a file."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", aspect):
        raise UsageError(f"aspect: expected a plain word such as unsafe, found {aspect[:100]!r}")
    return folder / "labels" / f"{aspect}.json"


def read_labels(folder: Path, aspect: str) -> Labels | None:
    """The labels of this aspect in a run folder, None if there are none. Raises StoreError if the file is damaged."""
    path = path_of(folder, aspect)
    if not path.exists():
        return None
    told: dict[str, Any] = read_json(path, _FIX)
    told["drawn"] = {row: (cell, sample) for row, (cell, sample) in told["drawn"].items()}
    return Labels(**told)


def write_labels(folder: Path, labels: Labels) -> None:
    """Raises StoreError if the folder cannot be written."""
    write_json(path_of(folder, labels.aspect), asdict(labels))
