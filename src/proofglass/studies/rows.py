"""The border where rows of a data set enter a study: what no file could hold later is a bad row now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from proofglass.types import BadSample, Sample

Row = Sample | BadSample
_TEXTS = ("id", "dataset", "split", "cluster", "category", "expected", "target")


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
