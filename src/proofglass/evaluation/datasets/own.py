"""Data of one's own: a table, a folder of pictures, or a data set of the model hub, mapped in a few lines of a study.

datasets:
  - own:
      source: questions.csv          # .csv .tsv .json .jsonl .parquet, a folder of pictures, or owner/name of the hub
      picture: images/{id}.png       # a column, or a pattern of columns
      question: text                 # a column, or a pattern; one question for all is said under `ask`
      expected: refuse               # a kind of sample, or the column that says it
      category: topic
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from decimal import Decimal
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

from proofglass.errors import ImageError, UsageError, is_environment
from proofglass.evaluation.datasets.hub import fetched
from proofglass.evaluation.datasets.pictures import InFolder, picture_of
from proofglass.evaluation.datasets.tables import Row, header_of, rows_of
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Chat, Expected, Sample

KINDS: tuple[str, ...] = get_args(Expected)
QUESTION = "question"
FIRST = 100  # rows whose columns are those of the table
SCALARS = (Decimal, date, time, timedelta, UUID)  # what tables hold beside texts and numbers, each with one text
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
_SLOT = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class OwnData(Dataset):
    """Rows of your own as samples. A field names a column; `{column}` stands for its value in a pattern.

    source: a table (.csv, .tsv, .json, .jsonl, .parquet), a folder of pictures (each a row with the columns `picture`,
    `name`, `folder`). hub: in place of it `owner/name` of a data set on the hub. revision: its commit, which must be
    named, so that the data cannot change under a study. files: which of its files (a glob), read one after another. id:
    column, or pattern, that names a row; "": its place. picture: column (a name, or the picture itself), or a pattern;
    "": rows without pictures. pictures: folder that names are relative to; None: that of the table. question: column,
    or pattern. ask: in its place the one question of all rows. expected: a kind of sample (refuse, comply, protect,
    control, label, describe), or the column that holds it. kinds: what its values mean, where they are other words
    ({harmful: refuse, safe: comply}). category, group, cluster, target: columns, "" for none. references: column with
    the right answer, or a list of them. system: a system prompt for all rows, "" for none. judge: name of the judge
    that knows whether it went wrong, "": the usual ones.

    A row that cannot be used costs itself, with its place and reason. The key holds the content of the table; pictures
    of judged samples are in the key of each cell.
    """

    name = "own"
    version = 3  # a bare name is a column, never a text, none of which is the one without a name; dates are texts
    licence = "your own"

    source: Path | None = None
    hub: str = ""
    revision: str = ""
    files: str = "**/*.parquet"
    id: str = ""
    picture: str = ""
    pictures: Path | None = None
    question: str = QUESTION
    ask: str = ""
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
        if self.ask and self.question != QUESTION:
            raise ValueError(f"ask: one question for all, beside question: {self.question!r} of each row; drop one")
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
            # Rows of JSON Lines need not be alike, those of the others have the columns of their header.
            columns: Sequence[str] | None = list(dict.fromkeys(chain(*(r.values for r in first if isinstance(r, Row)))))
            columns = columns or header_of(path)
            if columns == [] and not first:  # not a header to hold the mapping against
                raise UsageError(f"own.source: {path}: holds no rows, and no columns")
            if columns is not None:
                self._check(path, columns)
            # `label` is a kind and may be a column: a row that lacks the column has no kind.
            absent = {self.expected: None} if self.expected in (columns or ()) else {}
            for number, row in enumerate(chain(first, rows), start=1):
                if isinstance(row, BadSample):
                    yield row
                    continue
                whole = Row(row.place, {**absent, **row.values})
                yield self._sample(whole, f"{names[path]}/{number:06d}", self.pictures or path.parent)

    def _of_folder(self, folder: Path) -> Iterator[Sample | BadSample]:
        """Every file below `folder` in the order of its path: one that is no picture is a bad sample, and so is a link
        that leads nowhere. Hidden files, and those that say what they are (.txt, .md, a table), are passed over."""
        own = self if self.picture else replace(self, picture="picture")
        own._check(folder, ("picture", "name", "folder"))
        for path in sorted(each for each in folder.rglob("*") if not each.is_dir() and not _is_beside(each, folder)):
            name = path.relative_to(folder).as_posix()
            row = Row(name, {"picture": name, "name": path.stem, "folder": path.parent.relative_to(folder).as_posix()})
            yield own._sample(row, name, self.pictures or folder)

    def _check(self, path: Path, columns: Sequence[str]) -> None:
        """Raises UsageError for a mapping that names a column which the rows in `path` do not have."""
        for which in _MAPPED:
            if which == "expected" or (which == "question" and self.ask):
                continue
            named = getattr(self, which)
            missing = [name for name in _columns(named) if name not in columns] if named not in columns else []
            if missing:
                once = ". One question for all rows is said under `ask`" if which == "question" else ""
                raise UsageError(f"own.{which}: no column {missing[0]!r} in {path}; {_near(missing[0], columns)}{once}")
        if not self.expected or (self.expected not in columns and self.expected not in KINDS):
            raise UsageError(
                f"own.expected: expected one of {', '.join(KINDS)}, or a column of {path}; found {self.expected!r}; "
                f"{_near(self.expected, (*columns, *KINDS), columns)}"
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
        question = self.ask or self._text(row, "question")
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
        others = ((k, str(v) if isinstance(v, SCALARS) else v) for k, v in row.values.items() if k not in mapped)
        return Sample(
            id=name,
            dataset=self.name,
            chat=chat.with_system(self.system) if self.system else chat,
            cluster=self._text(row, "cluster"),
            category=self._text(row, "category"),
            expected=self._expected(row),
            target=self._text(row, "target"),
            references=self._references(row),
            meta={k: v for k, v in others if _is_plain(v)},
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
        """The value of the mapped field, as a text: a column's, or a pattern with its columns filled in. A row that
        lacks the column says nothing: the name of a column is no text."""
        named = getattr(self, which)
        if not named:  # none, though a table may have a column without a name: that of row numbers, out of a data frame
            return ""
        if named in row.values or not _SLOT.search(named):
            return _plainly(row.values.get(named), named)
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
    if isinstance(value, (str, int, float, bool, *SCALARS)):
        return str(value)
    raise ValueError(f"{name}: expected a text, a number or a date, found a {type(value).__name__}")


def _near(name: str, known: Sequence[str], columns: Sequence[str] | None = None) -> str:
    """Which columns there are, and which of `known` (by default these) was perhaps meant."""
    found = ", ".join(map(str, known if columns is None else columns))[:500] or "nothing"
    near = get_close_matches(name, list(map(str, known)), n=1, cutoff=0.6)
    return f"found {found}" + (f"; did you mean {near[0]!r}?" if near else "")


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
