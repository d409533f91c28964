"""One JSON object, as a model is asked to answer with it and nothing else."""

from __future__ import annotations

import json
from typing import Any

_OPENED = ("```", "```json")


class TwiceError(ValueError):
    """A key of an object stands twice: two answers."""


def object_in(text: str) -> dict[str, Any]:
    """The object that is the whole of `text`, or of one block of code that is. Its content is data and is never run.

    Raises TwiceError for a key that stands twice, ValueError for anything else, NaN and too deep lists included.
    """
    try:
        found = json.loads(_unwrapped(text.strip()), object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, found a {type(found).__name__}")
    return found


def _unwrapped(text: str) -> str:
    lines = text.split("\n")
    is_block = len(lines) > 2 and lines[0].strip().casefold() in _OPENED and lines[-1].strip() == "```"
    return "\n".join(lines[1:-1]) if is_block else text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise TwiceError("a key stands twice")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
