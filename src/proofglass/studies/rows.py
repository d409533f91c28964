"""The rows of a data set, as a study reads them: streamed, in fixed chunks, and named by all that they hold.

A plan keeps no rows but what names them: a digest of every chunk. Whoever needs the rows reads the data set again, and
what is read then is held against those digests, so that a data set that changed meanwhile is an error and no number.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from proofglass.errors import ProofglassError, UsageError
from proofglass.faults import stops_the_run, told
from proofglass.interfaces import Dataset
from proofglass.records.schema import plain
from proofglass.types import BadSample, Chat, Sample

Row = Sample | BadSample
KEPT = 2_000  # rows of a data set that is read once and kept: reading a small one again for every cell costs more
_MARK = 8  # bytes of the digest of a chunk: chance lets one changed chunk in 2^64 pass
_TEXTS = ("id", "dataset", "split", "cluster", "category", "expected", "target", "group")


@dataclass(frozen=True)
class Rows:
    """The rows of a data set in their fixed chunks, the last one shorter: the same after any resume.

    label, source: names of the data set and of its study, for errors. limit: the first rows only, None for all.
    size: rows of a chunk. count: of the rows; good: of those that can be asked; expected: what the first of these
    expects, which stands for a row too bad to say so itself; key: names all that they hold. marks: 8 bytes a chunk.
    """

    dataset: Dataset
    label: str
    source: str
    limit: int | None
    size: int
    count: int = 0
    good: int = 0
    expected: str = ""
    key: str = ""
    marks: bytes = field(default=b"", repr=False)
    kept: tuple[tuple[Row, ...], ...] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Row]:
        for chunk in self.chunks():
            yield from chunk

    def samples(self) -> Iterator[Sample]:
        """The rows that can be asked."""
        return (row for row in self if isinstance(row, Sample))

    def chunks(self) -> Iterator[tuple[Row, ...]]:
        """Chunk by chunk, read again where they are not kept.

        Raises UsageError if the data set cannot be read, or holds other rows than when the study was planned.
        """
        if self.kept is not None:
            yield from self.kept
            return
        seen, places = 0, range(0, len(self.marks), _MARK)
        chunks = _chunks(self._read(self.count + 1), self.size)
        for place, chunk in zip(places, chunks, strict=False):
            seen += len(chunk)
            if _mark(chunk) != self.marks[place : place + _MARK]:
                raise self._changed(f"rows {seen - len(chunk) + 1} to {seen} are others")
            yield chunk
        if seen != self.count or next(chunks, None) is not None:
            raise self._changed(f"{'more' if seen == self.count else seen} rows where there were {self.count}")

    def _changed(self, how: str) -> UsageError:
        return UsageError(
            f"{self.source}: data set {self.label}: has changed since this run was planned: {how}. Restore it and run "
            "the same command again, or run the study on the new data into a new folder."
        )

    def _read(self, most: int | None) -> Iterator[Row]:
        """The rows, one after another. What the data set raises, `SystemExit` included, is one line with the row."""
        number = 0
        try:
            for row in islice(_distinct(self.dataset), self._most(most)):
                number += 1
                yield row
        except BaseException as error:
            if stops_the_run(error) or isinstance(error, GeneratorExit):
                raise
            known = isinstance(error, (ProofglassError, ValueError, OSError)) and not number
            reason = str(error) if known else f"row {number + 1}: {told(error, 'dataset', self.dataset)}"
            raise UsageError(f"{self.source}: data set {self.label}: {reason}") from error

    def _most(self, most: int | None) -> int | None:
        return self.limit if most is None or (self.limit is not None and self.limit < most) else most


def read(dataset: Dataset, label: str, source: str, limit: int | None, size: int) -> Rows:
    """The rows of `dataset`, read through once. Raises UsageError, which names the row, if that is not possible."""
    rows = Rows(dataset, label, source, limit, size)
    count = good = 0
    expected, marks, digest = "", bytearray(), hashlib.sha256()
    kept: list[tuple[Row, ...]] | None = []
    for chunk in _chunks(rows._read(None), size):
        count += len(chunk)
        samples = [row for row in chunk if isinstance(row, Sample)]
        good += len(samples)
        expected = expected or (samples[0].expected if samples else "")
        marks += _mark(chunk, digest)
        if kept is not None:
            kept.append(chunk)
            kept = kept if count <= KEPT else None
    return dataclasses.replace(
        rows,
        count=count,
        good=good,
        expected=expected,
        key=digest.hexdigest()[:16],
        marks=bytes(marks),
        kept=None if kept is None else tuple(kept),
    )


def rows_key(rows: Iterable[Row]) -> str:
    """Names rows by all that they hold, as `Rows.key` does, whatever their chunks."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(_digest(row))
    return digest.hexdigest()[:16]


def _chunks(rows: Iterator[Row], size: int) -> Iterator[tuple[Row, ...]]:
    while chunk := tuple(islice(rows, size)):
        yield chunk


def _mark(chunk: Iterable[Row], whole: Any = None) -> bytes:
    """Digest of a chunk. whole: the digest of all chunks, which goes on with it."""
    own = hashlib.sha256()
    for row in chunk:
        told_of = _digest(row)
        own.update(told_of)
        if whole is not None:
            whole.update(told_of)
    return own.digest()[:_MARK]


def _digest(row: Row) -> bytes:
    """Sha256 of all that a row holds: every field in its place, pictures by their pixels."""
    told = (value for name, value in vars(row).items() if name != "before")  # which no row of a data set has
    held = [value if isinstance(value, str) else _held(value) for value in told]
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).digest()


def _held(value: Any) -> Any:
    if isinstance(value, Chat):
        return [
            [turn.role, [part if isinstance(part, str) else [part.sha256] for part in turn.parts]]
            for turn in value.messages
        ]
    return plain(value)


def _distinct(dataset: Dataset) -> Iterator[Row]:
    """The rows of a data set; one whose id was there before is a bad one. Raises TypeError for what is no row."""
    seen = Seen()
    for given in dataset:
        if not isinstance(given, (Sample, BadSample)):
            raise TypeError(f"a {type(given).__name__}, expected a Sample or a BadSample")
        row = sound(given)
        if not seen.add(row.id):
            number = 2
            while not seen.add(f"{row.id}#{number}"):
                number += 1
            reason = f"sample id {row.id!r} stands twice"
            row = BadSample(f"{row.id}#{number}", row.dataset, reason, row.category)
        yield row


class Seen:
    """Which texts were there before, in 16 to 32 bytes each: of a text it keeps 64 bits of its digest.

    Among a million texts, two different ones are taken for one with a chance of 3e-8.
    """

    def __init__(self) -> None:
        self._slots, self._count = array("Q", bytes(8 * 1024)), 0

    def add(self, text: str) -> bool:
        """Whether `text` is new; it is not, from now on."""
        if 2 * self._count >= len(self._slots):
            self._grow()
        digest = hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).digest()
        mark = int.from_bytes(digest) or 1  # 0: an empty slot
        place = self._place(mark)
        if self._slots[place]:
            return False
        self._slots[place] = mark
        self._count += 1
        return True

    def _place(self, mark: int) -> int:
        """The slot of `mark`, or the empty one where it belongs."""
        last = len(self._slots) - 1
        place = mark & last
        while self._slots[place] not in (0, mark):
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        old, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
        for mark in old:
            if mark:
                self._slots[self._place(mark)] = mark


def sound(row: Row) -> Row:
    """`row`, or the bad one that stands for it: every text of a sample is a text, and no text holds half a character.

    A lone surrogate (half of an emoji, cut by whoever made the table) can be written to no file and read by no
    tokeniser: let in, it would fail the whole cell, or all that is asked together with it. Replacing it would measure
    another question than the data set's.
    """
    if isinstance(row, BadSample):
        reason = _legible(row.reason) or "the data set gives no reason"
        return BadSample(_legible(row.id), _legible(row.dataset), reason, _legible(row.category))
    fault = _fault(row)
    return BadSample(_legible(row.id), _legible(row.dataset), fault, _legible(row.category)) if fault else row


def _fault(sample: Sample) -> str:
    """Why no file can hold `sample`, empty if one can."""
    for name in _TEXTS:
        if not isinstance(value := getattr(sample, name), str):
            return f"{name}: expected a text, found {_legible(value)}"
    asked = [[part for part in message.parts if isinstance(part, str)] for message in sample.chat.messages]
    places = {**{name: getattr(sample, name) for name in _TEXTS}, "chat": asked}
    for name, value in {**places, "references": sample.references, "meta": sample.meta}.items():
        for text in _texts(value):
            if _is_broken(text):
                return f"{name}: holds half a character: {_legible(text)[:80]!r}"
    return ""


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value as JSON could hold it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


def _is_broken(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _legible(value: Any) -> str:
    """`value` as a text that a file can hold; half a character becomes its number, such as \\ud83d."""
    text = value if isinstance(value, str) else repr(value)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
