"""Plugs as a line of a study names them: `figstep`, `{figstep: {size: 12}}` or `jpeg + blur`, as text or as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proofglass.errors import UsageError
from proofglass.registry import Kind, entry, several
from proofglass.studies import located
from proofglass.studies.combined import made
from proofglass.studies.configure import construct, parameters
from proofglass.types import Settings

Given = str | Mapping[str, Any]


def named(kind: Kind, given: Given) -> tuple[str, dict[str, Any]]:
    """Name and parameters; of `a + b` those of each member below its name, the first defense the outermost. Raises
    UnknownName with the nearest names, UsageError for what is no such line."""
    name, values = _only(kind, _read(given) if isinstance(given, str) else given)
    for each in several(kind, name) or [name]:
        entry(kind, each)
    if values is not None and not isinstance(values, Mapping):
        raise UsageError(f"{kind}: {name}: expected {{parameter: value}}, found {values!r}")
    return name, dict(values or {})


def plug(kind: Kind, given: Given) -> Any:
    """The plug that `given` names, its parameters read as in a study: 16/255 is a number, a path of a picture is one.

    Raises UsageError that names the field, what was expected and the nearest name.
    """
    import yaml

    name, values = named(kind, given)
    source = located.parse(yaml.safe_dump({kind: {name: values}}), "proofglass")  # an error names the place in it
    return made(source, kind, (kind,), name, source.values[kind][name])[2]


def settings_of_study(given: Mapping[str, Any] | None) -> Settings:
    """Settings as a study gives them. Raises UsageError that names the field."""
    import yaml

    source = located.parse(yaml.safe_dump({"settings": dict(given or {})}), "proofglass")
    values = parameters(Settings, source.values["settings"], source, ("settings",))
    settings: Settings = construct(Settings, values, source, ("settings",))
    return settings


def _read(line: str) -> Any:
    """`line`, as YAML where that is a mapping: `guard-output: {judge: refusal}`."""
    import yaml

    try:
        found = yaml.safe_load(line)
    except (yaml.YAMLError, ValueError, RecursionError):
        return line
    return found if isinstance(found, Mapping) else line


def _only(kind: Kind, given: Any) -> tuple[str, Any]:
    name, values = next(iter(given.items())) if isinstance(given, Mapping) and len(given) == 1 else (given, None)
    if not isinstance(name, str):
        several = " (several defenses are one, 'a + b')" if kind == "defenses" and isinstance(given, list) else ""
        raise UsageError(f"{kind}: expected a name, or {{name: {{parameter: value}}}}, found {given!r}{several}")
    return name, values
