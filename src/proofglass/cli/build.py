"""A plug from the words of a command line: its name, and fields as FIELD=VALUE."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from proofglass.errors import UsageError
from proofglass.registry import Entry, Kind, entry
from proofglass.studies.configure import with_helpers
from proofglass.studies.located import Located, Place, dotted


def plug(kind: Kind, name: str, given: Iterable[str] = ()) -> Any:
    """The plug `name` with its fields set. Raises UsageError, which names the plug and the field."""
    return built(entry(kind, name), given)


def built(found: Entry, given: Iterable[str] = ()) -> Any:
    """The plug of an entry with its fields set. Raises UsageError, which names the plug and the field."""
    fields = dict(field_of(each) for each in given)
    name = f"{found.kind[:-1]} {found.name}"
    if absent := [field for field in _needed(found) if field not in fields]:
        raise UsageError(f"{name}: needs {' '.join(f'--set {field}=VALUE' for field in absent)}")
    fields = with_helpers(found.load(), fields, _Words(name, {}, {}, ""))
    try:
        return found.build(**fields)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: {error}") from error


class _Words(Located):
    """What a command line sets, which has no lines."""

    def error(self, place: Place, text: str, kind: type[UsageError] = UsageError) -> UsageError:
        return kind(f"{self.file}: --set {dotted(place)}: {text}")


def _needed(found: Entry) -> list[str]:
    """Fields that have no value unless they are given."""
    made = found.load()
    return [
        field.name
        for field in (dataclasses.fields(made) if dataclasses.is_dataclass(made) else ())
        if field.init
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        and field.name not in found.defaults
    ]


def field_of(given: str) -> tuple[str, Any]:
    """Field and value of FIELD=VALUE; a value is JSON, or else text. A model stands by its name, as in a study."""
    field, equals, value = given.partition("=")
    if not equals or not field:
        raise UsageError(f"--set {given!r}: expected FIELD=VALUE, such as dtype=bfloat16")
    try:
        return field, json.loads(value)
    except json.JSONDecodeError:
        return field, value
