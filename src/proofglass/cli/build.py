"""A plug from the words of a command line: its name, and fields as FIELD=VALUE."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from proofglass.errors import UsageError
from proofglass.registry import Entry, Kind, entry


def plug(kind: Kind, name: str, given: Iterable[str] = ()) -> Any:
    """The plug `name` with its fields set. Raises UsageError, which names the plug and the field."""
    return built(entry(kind, name), given)


def built(found: Entry, given: Iterable[str] = (), ready: Mapping[str, Any] | None = None) -> Any:
    """The plug of an entry with its fields set. ready: fields that hold their values already. Raises UsageError, which
    names the plug and the field."""
    name = f"{found.kind[:-1]} {found.name}"
    fields = dict(field_of(each) for each in given) | dict(ready or {})
    _check_names(found, fields, name)
    fields = _with_plugs(found, fields)
    if absent := [field for field in _needed(found) if field not in fields]:
        raise UsageError(f"{name}: needs {' '.join(f'--set {field}=VALUE' for field in absent)}")
    try:
        return found.build(**fields)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: {error}") from error


def as_in_study(kind: Kind, text: str, origin: str) -> Any:
    """The plug that `text` names as a line of a study does: `testbed`, or `testbed: {part: benign}`. Raises UsageError
    that begins with `origin`."""
    import yaml

    from proofglass.studies import configure, located

    try:
        named = yaml.safe_load(text)
    except yaml.YAMLError:
        named = None
    if isinstance(named, dict) and len(named) == 1:
        name, values = next(iter(named.items()))
    else:
        name, values = named, None
    if not isinstance(name, str) or not (values is None or isinstance(values, dict)):
        raise UsageError(f"{origin}: expected a name, or 'name: {{parameter: value}}', found {text!r}")
    source = located.parse(yaml.safe_dump({name: values}), origin)
    found = configure.find(kind, name, source, ())
    make = configure.load(found, source, ())
    given = configure.parameters(make, values, source, (name,))
    return configure.construct(make, configure.settled(found, given, source, (name,)), source, (name,))


def _check_names(found: Entry, fields: Iterable[str], name: str) -> None:
    """Raises UsageError for a field that the plug does not have, with those that it has and the nearest."""
    made = found.load()
    known = [field.name for field in dataclasses.fields(made) if field.init] if dataclasses.is_dataclass(made) else []
    for field in fields:
        if field not in known:
            from proofglass.studies.located import nearest

            takes = f"It takes {', '.join(known)}." if known else "It takes none."
            raise UsageError(f"{name}: --set {field}: no such field. {takes}{nearest(field, known)}")


def _with_plugs(found: Entry, fields: dict[str, Any]) -> dict[str, Any]:
    """The same, with a plug where a field takes one by its name: `--set judge=refusal`, or `--set 'helper={hf: {path:
    /weights}}'`; and with lists and mappings written as in a study."""
    if not any(isinstance(value, (str, dict, list)) for value in fields.values()):
        return fields
    from proofglass.studies import configure

    made = found.load()
    given = {name: configure.unfolded(made, name, value, "--set") for name, value in fields.items()}
    return {name: configure.plug_in(made, name, value, "--set") for name, value in given.items()}


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
    """Field and value of FIELD=VALUE; a value is JSON, or else text (`built` reads YAML where the field takes no text).
    A model stands by its name, as in a study."""
    field, equals, value = given.partition("=")
    if not equals or not field:
        raise UsageError(f"--set {given!r}: expected FIELD=VALUE, such as dtype=bfloat16")
    try:
        return field, json.loads(value)
    except (ValueError, RecursionError):  # no JSON, a number of too many digits, too many brackets
        return field, value
