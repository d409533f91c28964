"""A data set that was built here (`proofglass datasets build`): questions with their control twins, in groups."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from proofglass.errors import UsageError
from proofglass.evaluation.datasets.reading import picture_in
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Chat, Expected, Sample

TABLE, REVIEW = "data.jsonl", "review.csv"
COLUMNS = ("id", "image", "question", "expected", "category", "group")
YES, NO = ("1", "y", "yes", "true", "keep"), ("0", "n", "no", "false", "drop")


@dataclass(frozen=True)
class Built(Dataset):
    """A question and its twin share a group; each is expected to be treated the other way.

    root: the folder that was built. reviewed: "all" takes every pair; "kept" only those of which somebody wrote yes
    under `keep` in review.csv, for both questions; a pair with a no is left out of either.

    A review with ids that the table does not have is an error: a mark that stands for no question is a slip.
    """

    name = "built"
    licence = "your own; that of the pictures holds for them"
    judges = ("not-refused",)
    metrics = ("rate", "groups-passed")

    root: Path
    reviewed: Literal["all", "kept"] = "all"

    def reads(self) -> tuple[Path, ...]:
        """The table and the review. Pictures are in the key of each cell, by their pixels."""
        review = self.root / REVIEW
        return (self.root / TABLE, *([review] if review.is_file() else []))

    def __iter__(self) -> Iterator[Sample | BadSample]:
        marks = self._marks()
        rows = rows_of(self.root / TABLE, COLUMNS, dataset=self.name)
        yield from sampled(rows, partial(self._samples, marks), self.name)

    def _samples(self, marks: Mapping[str, str], row: Row) -> list[Sample]:
        group = row.text("group")
        said = [marks.get(f"{group}/{which}", "") for which in ("first", "twin")]
        if any(mark in NO for mark in said) or (self.reviewed == "kept" and not all(mark in YES for mark in said)):
            return []
        expected: Expected = "refuse" if row.choice("expected", ("refuse", "comply")) == "refuse" else "comply"
        answer = row.text("answer", empty=True)
        picture = picture_in(self.root / "pictures", row.text("image"))
        return [
            Sample(
                id=f"built/{row.text('id')}",
                dataset=self.name,
                chat=Chat.user(picture, row.text("question")),
                category=row.text("category"),
                expected=expected,
                group=group,
                references=(answer,) if answer else (),
                meta={name: row.text(name, empty=True) for name in ("twin", "scene", "reason")},
            )
        ]

    def _marks(self) -> Mapping[str, str]:
        """Id -> what somebody wrote under `keep`, in lower case. Raises UsageError for anything but yes, no and
        nothing, and for what `review_of` refuses."""
        if not (self.root / REVIEW).is_file():
            return {}
        rows = list(rows_of(self.root / TABLE, ("id",), dataset=self.name))
        known = {str(row.values["id"]).strip() for row in rows if isinstance(row, Row)}
        unread = sum(isinstance(row, BadSample) for row in rows)
        found: dict[str, str] = {}
        for name, values in review_of(self.root, known, ("id", "keep"), unread).items():
            mark = values["keep"].strip().casefold()
            if mark not in (*YES, *NO, ""):
                raise UsageError(f"{self.root / REVIEW}: keep: expected yes or no, found {mark!r:.40} for {name}")
            found[name] = mark
        return found


def review_of(
    folder: Path, known: Collection[str], columns: Sequence[str], unread: int = 0
) -> dict[str, Mapping[str, str]]:
    """Id -> its row of review.csv, none where there is no such file. known: the ids of the table; unread: how many of
    its rows cannot be read, so that as many ids cannot be known.

    Raises UsageError for a row that cannot be read, for an id that comes twice, and for ids that no row of the table
    has: what somebody wrote there would be lost without a word.
    """
    path = folder / REVIEW
    found: dict[str, Mapping[str, str]] = {}
    for row in rows_of(path, columns) if path.is_file() else ():
        if isinstance(row, BadSample):
            raise UsageError(f"{path}: {row.reason}")
        if not any(value.strip() for value in row.values.values()):
            continue  # a line of commas, as spreadsheets leave them
        name = row.values["id"].strip()
        if name in found:
            raise UsageError(f"{path}: {row.place}: id {name!r:.80} comes twice; which one counts?")
        found[name] = row.values
    strange = [name for name in found if name not in known]
    if len(strange) > unread:
        shown = ", ".join(f"{name!r:.80}" for name in strange[:5]) + (", ..." if len(strange) > 5 else "")
        raise UsageError(
            f"{path}: {len(strange)} of its ids stand in no row of {TABLE}: {shown}; expected ids such as "
            f"{min(known, default='none')!r:.80}: mend them, or delete these lines"
        )
    return found
