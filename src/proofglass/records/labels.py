"""What people said about replies of a run: one file per aspect, `labels/<aspect>.json`, which no rerun touches.

A label is about an attempt, a dialogue and the reply to it (`Record.attempt`): after a rerun it holds as long as the
reply is the same. But it counts only for samples that were drawn for labelling, and the file says how: at random within
each verdict of one judge. Without that, labels of replies that somebody picked would pass for a sample. A drawn sample
whose reply has changed since is open again; until it is labelled, the rest is a sample of the replies that stayed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from proofglass.errors import UsageError
from proofglass.records.manifest import read_json, write_json

_FIX = "restore it from a copy: what people said cannot be made again"

Place = tuple[str, str, str, str]  # labels of victim, attack, defense and data set: they stay when a cell's key changes
Drawn = tuple[str, str, str, str, str]  # a place and the id of a sample
Find = Callable[[str, str], tuple[str, Drawn] | None]  # cell, sample id -> its attempt, where it stands now


@dataclass(frozen=True)
class Labels:
    """aspect: what people were asked, a judge's name or its own word for it; judge, judge_key: by whose verdicts
    replies were drawn (label and key); drawn: attempt -> the samples for which it was put on a sheet; given: attempt ->
    1.0 yes or 0.0 no."""

    aspect: str
    judge: str
    judge_key: str
    drawn: Mapping[str, tuple[Drawn, ...]] = field(default_factory=dict)
    given: Mapping[str, float] = field(default_factory=dict)

    def samples(self, place: Place) -> set[str]:
        """The samples that were drawn at this place."""
        return {sample for every in self.drawn.values() for *at, sample in every if tuple(at) == place}

    def of(self, place: Place, attempts: Mapping[str, str]) -> dict[str, float]:
        """Sample id -> label, of those that were drawn at this place. attempts: sample id -> its attempt now."""
        return {
            sample: self.given[attempts[sample]]
            for sample in sorted(self.samples(place))
            if attempts.get(sample) in self.given
        }


def path_of(folder: Path, aspect: str) -> Path:
    """Raises UsageError for an aspect that is no plain word, or a few ("unsafe prompt"): it names a file."""
    if not re.fullmatch(r"[A-Za-z0-9](?:[\w.-]| (?=\w)){0,99}", aspect):
        raise UsageError(f"aspect: expected plain words such as unsafe, found {aspect[:100]!r}")
    return folder / "labels" / f"{aspect}.json"


def read_labels(folder: Path, aspect: str, find: Find) -> Labels | None:
    """The labels of this aspect in a run folder, None if there are none. Raises StoreError if the file is damaged.

    find: for files of schema version 2, which named a reply by cell and sample.
    """
    path = path_of(folder, aspect)
    if not path.exists():
        return None
    told: dict[str, Any] = read_json(path, _FIX)
    if any(drawn and isinstance(drawn[0], str) for drawn in told["drawn"].values()):
        told |= _by_attempt(told, find)
    told["drawn"] = {key: tuple(tuple(each) for each in drawn) for key, drawn in told["drawn"].items()}
    return Labels(**told)


def drawn_by(folder: Path) -> list[str]:
    """Keys of the judges by whose verdicts replies of the run in `folder` were drawn: labels are weighed by them."""
    return [read_json(path, _FIX)["judge_key"] for path in sorted((folder / "labels").glob("*.json"))]


def _by_attempt(told: Mapping[str, Any], find: Find) -> dict[str, Any]:
    """Rows of version 2, by attempt. One whose reply is not in the run keeps its name: no label is lost."""
    drawn: dict[str, list[Any]] = {}
    names = {}
    for row, (cell, sample) in told["drawn"].items():
        names[row], *places = find(cell, sample) or (row,)
        drawn.setdefault(names[row], []).extend(places)
    return {"drawn": drawn, "given": {names[row]: value for row, value in told["given"].items()}}


def write_labels(folder: Path, labels: Labels) -> None:
    """Raises StoreError if the folder cannot be written."""
    write_json(path_of(folder, labels.aspect), asdict(labels))
