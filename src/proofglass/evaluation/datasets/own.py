"""Data of one's own: a table, a folder of pictures, or a data set of the model hub, mapped in a few lines of a study.

datasets:
  - own:
      source: questions.csv          # .csv .tsv .json .jsonl .parquet, a folder of pictures, or owner/name of the hub
      picture: images/{id}.png       # a column, or a pattern of columns
      question: text                 # a column, or one question for all
      expected: refuse               # a kind of sample, or the column that says it
      category: topic
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, get_args

from proofglass.errors import ImageError, UsageError, is_environment
from proofglass.evaluation.datasets.hub import fetched
from proofglass.evaluation.datasets.pictures import InFolder, picture_of
from proofglass.evaluation.datasets.tables import Row, rows_of
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Chat, Expected, Sample

KINDS: tuple[str, ...] = get_args(Expected)
FIRST = 100  # rows whose columns are those of the table
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
# Written out as a text, as they are in a table of texts.
WRITTEN = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal)
_SLOT = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class OwnData(Dataset):
    """Rows of your own as samples. A field names a column; `{column}` stands for its value in a pattern.

    source: a table (.csv, .tsv, .json, .jsonl, .parquet), a folder of pictures (each a row with the columns `picture`,
    `name`, `folder`). hub: in place of it `owner/name` of a data set on the hub. revision: its commit, which must be
    named, so that the data cannot change under a study. files: which of its files (a glob), read one after another.
    id: column, or pattern, that names a row; "": its place. picture: column (a name, or the picture itself), or a
    pattern; "": rows without pictures. pictures: folder that names are relative to; None: that of the table.
    question: column, pattern, or the one question of all rows. expected: a kind of sample (refuse, comply, protect,
    control, label, describe), or the column that holds it. kinds: what its values mean, where they are other words
    ({harmful: refuse, safe: comply}). category, group, cluster, target: columns, "" for none. references: column with
    the right answer, or a list of them. system: a system prompt for all rows, "" for none.
    judge: name of the judge that knows whether it went wrong, "": the usual ones.

    A row that cannot be used costs itself, with its place and reason. The key holds the content of the table; pictures
    of judged samples are in the key of each cell.
    """

    name = "own"
    version = 2  # no field takes the column without a name; dates are texts
    licence = "your own"

    source: Path | None = None
    hub: str = ""
    revision: str = ""
    files: str = "**/*.parquet"
    id: str = ""
    picture: str = ""
    pictures: Path | None = None
    question: str = "question"
    expected: str = "refuse"
    kinds: Mapping[str, str] = field(default_factory=dict)
    category: str = ""
    group: str = ""
    cluster: str = ""
    target: str = ""
    references: str = ""
    system: str = ""
    judge: str = ""

    def __post_init__(self) -> None:
        for said, kind in self.kinds.items():
            if kind not in KINDS:
                raise ValueError(f"kinds: {said}: expected one of {', '.join(KINDS)}, found {kind!r}")
        if (self.source is None) == (not self.hub):
            raise ValueError("source: expected a table or a folder of pictures, or in its place `hub: owner/name`")
        if self.hub and not re.fullmatch(r"[0-9a-f]{40}", self.revision):
            raise ValueError(
                f"revision: expected the commit (40 hex digits) of {self.hub} that is meant, found {self.revision!r}; "
                "without one a name may stand for other data tomorrow"
            )

    @property
    def judges(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.judge,) if self.judge else Dataset.judges

    @functools.cached_property
    def _tables(self) -> tuple[Path, ...]:
        """The tables that hold the rows; none for a folder of pictures. Raises UsageError where there is nothing."""
        if self.source is None:
            return tuple(fetched(self.hub, self.revision, (self.files,)))
        if self.source.is_dir():
            return ()
        if not self.source.is_file():
            raise UsageError(f"own.source: {self.source}: neither a file nor a folder")
        return (self.source,)

    def reads(self) -> Iterable[Path]:
        """The tables, and of a folder of pictures the folder: edited data is other data."""
        return self._tables or super().reads()

    def __iter__(self) -> Iterator[Sample | BadSample]:
        tables = self._tables
        if self.picture and self.pictures is not None and not self.pictures.is_dir():
            raise UsageError(f"own.pictures: {self.pictures}: no such folder")
        rows = self._of_tables(tables) if self.source is None or tables else self._of_folder(self.source)
        if (first := next(rows, None)) is None:
            kind = "rows" if tables else "pictures"
            raise UsageError(f"own.source: {', '.join(map(str, tables)) or self.source}: holds no {kind}")
        yield from chain((first,), rows)

    def _of_tables(self, tables: Sequence[Path]) -> Iterator[Sample | BadSample]:
        names = _names(tables)
        for path in tables:
            rows = rows_of(path, dataset=self.name)
            first = list(islice(rows, FIRST))
            if columns := {name: None for row in first if isinstance(row, Row) for name in row.values}:
                self._named_columns.update(map(str, columns))
                self._check(path, columns)
            for number, row in enumerate(chain(first, rows), start=1):
                if isinstance(row, BadSample):
                    yield row
                    continue
                yield self._sample(row, f"{names[path]}/{number:06d}", self.pictures or path.parent)

    def _of_folder(self, folder: Path) -> Iterator[Sample | BadSample]:
        """Every file below `folder` in the order of its path: one that is no picture is a bad sample, and so is a link
        that leads nowhere. Hidden files, and those that say what they are (.txt, .md, a table), are passed over."""
        own = self if self.picture else dataclasses.replace(self, picture="picture")
        own._check(folder, dict.fromkeys(("picture", "name", "folder")))
        for path in sorted(each for each in folder.rglob("*") if not each.is_dir() and not _is_beside(each, folder)):
            name = path.relative_to(folder).as_posix()
            row = Row(name, {"picture": name, "name": path.stem, "folder": path.parent.relative_to(folder).as_posix()})
            yield own._sample(row, name, self.pictures or folder)

    @functools.cached_property
    def _named_columns(self) -> set[str]:
        """The columns that some row of the tables read so far has (rows of JSON Lines need not be alike)."""
        return set()

    def _check(self, path: Path, columns: Mapping[str, Any]) -> None:
        """Raises UsageError for a mapping that names a column which the table does not have. columns: of its first
        rows."""
        for which in ("id", "picture", "question", "category", "group", "cluster", "target", "references"):
            named = getattr(self, which)
            missing = [name for name in _columns(named) if name not in columns]
            if missing and (_SLOT.search(named) or which != "question" or not re.search(r"\s", named)):
                raise UsageError(
                    f"own.{which}: no column {missing[0]!r} in {path}; found {', '.join(map(str, columns))}"
                )
        if not self.expected or (self.expected not in columns and self.expected not in KINDS):
            found = ", ".join(map(str, columns))
            raise UsageError(
                f"own.expected: expected one of {', '.join(KINDS)}, or a column of {path} ({found}); found "
                f"{self.expected!r}"
            )

    def _sample(self, row: Row, place: str, folder: Path) -> Sample | BadSample:
        name = place
        try:
            name = self._text(row, "id") or place
            return self._made(row, name, folder)
        except (ImageError, ValueError) as error:
            if is_environment(error):
                raise
            return BadSample(name, self.name, f"{row.place}: {error}", self._category(row))

    def _category(self, row: Row) -> str:
        """That of a row that cannot be used, "" where it cannot be told either."""
        try:
            return self._text(row, "category")
        except ValueError:
            return ""

    def _made(self, row: Row, name: str, folder: Path) -> Sample:
        question = self._text(row, "question")
        if not question.strip():
            raise ValueError("question: empty")
        parts: list[Any] = [question]
        if self.picture:
            named = row.values[self.picture] if self.picture in row.values else self._text(row, "picture")
            if isinstance(named, str) and not named.strip():
                raise ValueError(f"{self.picture}: empty")
            parts.insert(0, picture_of(named, InFolder(folder), f"{self.picture} of {name}"))
        chat = Chat.user(*parts)
        mapped = {name for which in _MAPPED for name in _columns(getattr(self, which))}
        kept = {k: str(v) if isinstance(v, WRITTEN) else v for k, v in row.values.items() if k not in mapped}
        return Sample(
            id=name,
            dataset=self.name,
            chat=chat.with_system(self.system) if self.system else chat,
            cluster=self._text(row, "cluster"),
            category=self._text(row, "category"),
            expected=self._expected(row),
            target=self._text(row, "target"),
            references=self._references(row),
            meta={k: v for k, v in kept.items() if _is_plain(v)},
            group=self._text(row, "group"),
        )

    def _expected(self, row: Row) -> Expected:
        said = (
            _plainly(row.values[self.expected], self.expected).strip() if self.expected in row.values else self.expected
        )
        kind: Any = self.kinds.get(said, self.kinds.get(said.casefold(), said))  # True of Parquet is true of YAML
        if kind not in KINDS:
            raise ValueError(f"{self.expected}: expected one of {', '.join((*self.kinds, *KINDS))}, found {said!r}")
        return kind  # type: ignore[no-any-return]

    def _references(self, row: Row) -> tuple[str, ...]:
        if not self.references:
            return ()
        is_pattern = self.references not in row.values and _SLOT.search(self.references)
        return _answers(self._text(row, "references") if is_pattern else row.values.get(self.references))

    def _text(self, row: Row, which: str) -> str:
        """The value of the mapped field, as a text: a column's, a pattern with its columns filled in, or itself."""
        named = getattr(self, which)
        if not named:  # none, though a table may have a column without a name: that of row numbers, out of a data frame
            return ""
        if named in row.values:
            return _plainly(row.values[named], named)
        if named in self._named_columns:  # other rows have it: this one says nothing, and its name is no text
            return ""
        return _SLOT.sub(lambda slot: _plainly(row.values.get(slot[1]), slot[1]), named)


_MAPPED = ("id", "picture", "question", "category", "group", "cluster", "target", "references", "expected")


def _names(tables: Sequence[Path]) -> dict[Path, str]:
    """What the rows of each table are called by: its name without the ending, with the folders above it where several
    have one name."""
    if len({path.stem for path in tables}) == len(tables):
        return {path: path.stem for path in tables}
    above = Path(os.path.commonpath([path.parent for path in tables]))
    return {path: path.relative_to(above).with_suffix("").as_posix() for path in tables}


def _columns(named: str) -> list[str]:
    return _SLOT.findall(named) or ([named] if named else [])


def _plainly(value: Any, name: str) -> str:
    if value is None or value != value:  # not a number: how tables of numbers say that there is none
        return ""
    if isinstance(value, (str, int, float, bool, *WRITTEN)):
        return str(value)
    raise ValueError(f"{name}: expected a text, a number or a date, found a {type(value).__name__}")


def _answers(value: Any) -> tuple[str, ...]:
    several = value if isinstance(value, (list, tuple)) else [value]
    return tuple(text for each in several if (text := _plainly(each, "references")).strip())


def _is_plain(value: Any, depth: int = 20) -> bool:
    """Whether a record can hold it. depth: how deep a value may be nested."""
    if isinstance(value, Mapping):
        return depth > 0 and all(_is_plain(each, depth - 1) for each in value.values())
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return depth > 0 and all(_is_plain(each, depth - 1) for each in value)
    return value is None or isinstance(value, (str, int, float, bool))


def _is_beside(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return hidden or path.suffix.casefold() in (*TABLES, ".txt", ".md")
