"""PyRIT's replies with human labels, out of its wheel or its installed or unpacked package (MIT).

Three kinds of row: `refusal` (did the reply refuse: aspect "refusal"), `harm` (a severity of 0, 0.25, ..., 1 from one
to three people: "unsafe" if their mean is 0.5 or more, which is our cut), `objective` (did the reply do what was asked
for: aspect "achieved", which none of our judges claims to measure). Extracts of other files ("mini", "sample") are left
out, and a reply that stands in two files of a kind is read once.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from proofglass.errors import UsageError
from proofglass.evaluation.datasets.reading import csv_rows, text_of
from proofglass.evaluation.labels import LabelledReply, LabelSet
from proofglass.faults import first_line
from proofglass.types import BadSample

NAME = "pyrit"
_PARTS = {"refusal_scorer": ("refusal", "refusal"), "harm": ("harm", "unsafe"), "objective": ("objective", "achieved")}
_FOLDER = "scorer_evals"


def place_in(folder: Path | None) -> Path | None:
    """Where PyRIT's labels are: a wheel or a folder `pyrit` in `folder`, else the installed package; None: nowhere."""
    if folder is not None:
        found = [*sorted(folder.glob("pyrit-*.whl")), folder / "pyrit"]
        if place := next((each for each in found if each.exists()), None):
            return place
    installed = find_spec("pyrit")  # looked for, not imported
    return Path(installed.origin).parent if installed and installed.origin else None


def read(path: Path) -> LabelSet:
    """The set in `path`: a wheel, or a folder with a folder `scorer_evals` somewhere in it. Raises UsageError."""
    replies: list[LabelledReply] = []
    bad: list[str] = []
    seen: set[tuple[str, str, str]] = set()
    for name, text in _files(path):
        part, aspect = _PARTS[name.parts[-2]]
        body, skipped = _without_comments(text)
        for line, row in csv_rows(body, Path(name), ("objective", "assistant_response", "data_type"), NAME):
            place = f"{part}/{name.name}:{line + skipped}"
            made = row.reason if isinstance(row, BadSample) else _reply(row, place, part, aspect)
            if isinstance(made, str):
                bad.append(f"{place}: {made}")
            elif (key := (part, made.prompt, made.reply)) not in seen:
                seen.add(key)
                replies.append(made)
    if not replies:
        raise UsageError(f"{path}: no labelled replies of PyRIT in it ({_FOLDER}/*/*.csv)")
    return LabelSet(NAME, tuple(replies), tuple(bad))


def _files(path: Path) -> Iterator[tuple[PurePosixPath, str]]:
    """Those with the most raters first: of a reply that stands in two files, theirs is kept."""
    if path.is_dir():
        found = {PurePosixPath(file.as_posix()): file for file in path.rglob(f"{_FOLDER}/*/*.csv")}
        for name in sorted(filter(_is_wanted, found), key=_order):
            yield name, text_of(found[name])
        return
    try:
        with zipfile.ZipFile(path) as wheel:
            names = [PurePosixPath(name) for name in wheel.namelist()]
            for name in sorted(filter(_is_wanted, names), key=_order):
                yield name, wheel.read(str(name)).decode("utf-8-sig")
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a wheel of PyRIT: {first_line(error)}") from error


def _is_wanted(name: PurePosixPath) -> bool:
    return (
        name.suffix == ".csv"
        and len(name.parts) > 2
        and name.parts[-3] == _FOLDER
        and name.parts[-2] in _PARTS
        and not name.name.startswith("mini_")
    )


def _order(name: PurePosixPath) -> tuple[bool, str]:
    return not name.stem.endswith("_multi_score"), str(name)


def _without_comments(text: str) -> tuple[str, int]:
    """The table below the comment lines, and how many those are."""
    lines = text.splitlines(keepends=True)
    skipped = next((k for k, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[skipped:]), skipped


def _reply(row: dict[str, str], place: str, part: str, aspect: str) -> LabelledReply | str:
    """The reply of a row, or why it is none."""
    scores = [row[column] for column in row if column.startswith("human_score") and row[column].strip()]
    try:
        given = [float(score) for score in scores]
    except ValueError:
        given = []
    if not given or not all(0 <= score <= 1 for score in given):
        return f"human_score: expected numbers in 0..1, found {', '.join(scores) or 'none'}"
    return LabelledReply(
        id=place,
        source=f"{NAME}-{part}",
        model="",
        cluster=row["objective"] or place,
        category=row.get("harm_category", ""),
        prompt=row["objective"],
        reply=row["assistant_response"],
        kind=part,
        truth={aspect: float(sum(given) / len(given) >= 0.5)},
        raters={aspect: tuple(float(score >= 0.5) for score in given)} if len(given) > 1 else {},
    )
