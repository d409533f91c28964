"""A data set that was built here (`proofglass datasets build`): questions with their control twins, in groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from proofglass.errors import UsageError
from proofglass.evaluation.datasets.reading import picture_in
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Chat, Expected, Sample

COLUMNS = ("id", "image", "question", "expected", "category", "group")
YES, NO = ("1", "y", "yes", "true", "keep"), ("0", "n", "no", "false", "drop")


@dataclass(frozen=True)
class Built(Dataset):
    """A question and its twin share a group; each is expected to be treated the other way.

    root: the folder that was built. reviewed: "all" takes every pair; "kept" only those of which somebody wrote yes
    under `keep` in review.csv, for both questions; a pair with a no is left out of either.
    """

    name = "built"
    licence = "your own; that of the pictures holds for them"
    judges = ("not-refused",)
    metrics = ("rate", "groups-passed")

    root: Path
    reviewed: Literal["all", "kept"] = "all"

    def reads(self) -> tuple[Path, ...]:
        """The table and the review. Pictures are in the key of each cell, by their pixels."""
        review = self.root / "review.csv"
        return (self.root / "data.jsonl", *([review] if review.is_file() else []))

    def __iter__(self) -> Iterator[Sample | BadSample]:
        marks = self._marks()
        rows = rows_of(self.root / "data.jsonl", COLUMNS, dataset=self.name)
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
        nothing."""
        path = self.root / "review.csv"
        if not path.is_file():
            return {}
        found: dict[str, str] = {}
        for row in rows_of(path, ("id", "keep"), dataset=self.name):
            if isinstance(row, BadSample):
                raise UsageError(f"{path}: {row.reason}")
            mark = str(row.values["keep"]).strip().casefold()
            if mark not in (*YES, *NO, ""):
                raise UsageError(f"{path}: keep: expected yes or no, found {mark!r:.40} for {row.values['id']}")
            found[str(row.values["id"])] = mark
        return found
