"""A plug with another value in one field: what is tried to see whether its key holds every parameter."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from proofglass.errors import ProofglassError
from proofglass.interfaces import Plug

_GUESSES = {"bool": True, "int": 1, "float": 0.5, "str": "x"}  # by the type of a field that is None


def keyed(plug: Plug) -> list[dataclasses.Field[Any]]:
    """The fields that its key must hold."""
    return [f for f in dataclasses.fields(plug) if f.init and f.name not in plug.not_in_key]  # type: ignore[arg-type]


def variants(plug: Plug, others: Mapping[str, Any] | None = None) -> Iterator[tuple[str, Any, str]]:
    """(field, another value, the key with it). Values that the plug refuses, or cannot name, are passed over.

    others: a value to try, for fields in which none can be guessed.
    """
    for field in keyed(plug):
        name = field.name
        for value in [others[name]] if others and name in others else _others(getattr(plug, name), field):
            try:
                key = dataclasses.replace(plug, **{name: value}).key  # type: ignore[type-var]
            except (ValueError, TypeError, ProofglassError):
                continue
            yield name, value, key


def _others(value: Any, field: dataclasses.Field[Any]) -> list[Any]:
    if value is None:
        words = re.findall(r"\w+", str(field.type))
        return [guess for word, guess in _GUESSES.items() if word in words]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        # Half of 0 is 0; some take a probability from 0.5 up.
        return [other for other in (value / 2, (value + 1) / 2) if other != value]
    if isinstance(value, str) and str(field.type).startswith("Device"):
        return ["auto" if value == "cpu" else "cpu"]
    if isinstance(value, str):
        return [value + " x"]
    return []
