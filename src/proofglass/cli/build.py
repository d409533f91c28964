"""A plug from the words of a command line: its name, and fields as FIELD=VALUE; or a line of a study, `a + b` too."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proofglass.errors import UsageError
from proofglass.registry import Entry, Kind, entry, joined

if TYPE_CHECKING:
    from proofglass.studies.located import Located


def plug(kind: Kind, name: str, given: Iterable[str] = ()) -> Any:
    """The plug `name` with its fields set. Raises UsageError, which names the plug and the field."""
    return built(entry(kind, name), given)


def built(found: Entry, given: Iterable[str] = (), beside: Mapping[str, Any] | None = None) -> Any:
    """The plug of an entry with its fields set. beside: fields that the line with its name sets. Raises UsageError,
    which names the plug and the field."""
    name = f"{found.kind[:-1]} {found.name}"
    fields: dict[str, Any] = {}
    for field, value in map(field_of, given):
        if field in fields or field in (beside or {}):
            where = "" if field in fields else " beside its name"
            raise UsageError(f"{name}: --set {field}: is set{where} already; leave one of the two out")
        fields[field] = value
    _check_names(found, fields, name)
    fields = {**(beside or {}), **_with_plugs(found, fields)}
    if absent := [field for field in _needed(found) if field not in fields]:
        raise UsageError(f"{name}: needs {' '.join(f'--set {field}=VALUE' for field in absent)}")
    try:
        return found.build(**fields)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: {error}") from error


@dataclass(frozen=True)
class Named:
    """A plug that a line names. entry: its own. values: the fields that the line sets."""

    entry: Entry
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.entry.name


def as_in_study(kind: Kind, text: str, origin: str) -> Any:
    """The plug that `text` names as a line of a study does: `testbed`, or `testbed: {part: benign}`. Raises UsageError
    that begins with `origin`."""
    from proofglass.studies.combined import made

    source, name, values = _line(text, origin)
    return made(source, kind, (), name, values)[2]


def named(kind: Kind, text: str, origin: str, *, anywhere: bool = False) -> list[Named]:
    """What `text` names as a line of a study does: one plug, `jpeg` or `jpeg: {quality: 50}`, or the members of several
    attacks or defenses in order, `jpeg + blur: {blur: {sigma: 2}}`. anywhere: package.module:Class names one as well.
    Raises UsageError that begins with `origin`."""
    from proofglass.studies import configure
    from proofglass.studies.combined import members

    every = []
    source, name, values = _line(text, origin)
    for part, given, at in members(source, kind, (), name, values):
        if anywhere and ":" in part:
            found = Entry(kind, part, part)
        else:
            found = configure.find(kind, part, source, ())
        every.append(Named(found, configure.parameters(configure.load(found, source, ()), given, source, at)))
    return every


def _line(text: str, origin: str) -> tuple[Located, str, dict[str, Any] | None]:
    """`text` as a line of a study: where it stands, its name, its parameters. Raises UsageError."""
    import yaml

    from proofglass.studies import located

    try:
        line = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        line = None
    name, values = next(iter(line.items())) if isinstance(line, dict) and len(line) == 1 else (line, None)
    if not isinstance(name, str) or not (values is None or isinstance(values, dict)):
        raise UsageError(f"{origin}: expected a name, or 'name: {{parameter: value}}', found {text!r}")
    return located.parse(yaml.safe_dump({name: values}), origin), name, values


def put_together(kind: Kind, every: Sequence[Named], given: Mapping[str, Sequence[str]] | None = None) -> Any:
    """The plug that a line names, or several as one. given: name -> FIELD=VALUE of it. Raises UsageError."""
    made = [built(each.entry, (given or {}).get(each.name, ()), each.values) for each in every]
    return made[0] if len(made) == 1 else joined(kind, made)


def by_member(given: Iterable[str], names: Sequence[str], option: str = "--set") -> dict[str, list[str]]:
    """NAME.FIELD=VALUE by the name it is for, and FIELD=VALUE by "", as FIELD=VALUE. names: those that there are.

    Raises UsageError for a name that is not there, or stands there twice: which of them is meant, nobody can tell."""
    found: dict[str, list[str]] = {}
    for each in given:
        head, equals, value = each.partition("=")
        owner, _, name = head.rpartition(".")
        if owner and names.count(owner) > 1:
            raise UsageError(
                f"{option} {each!r}: {owner} stands {names.count(owner)} times in the stack; write it beside "
                f"its name, '{owner}: {{{name}: {value or 'VALUE'}}}'"
            )
        if owner and owner not in names:
            raise UsageError(f"{option} {each!r}: {_not_there(owner, names)}")
        found.setdefault(owner, []).append(f"{name}{equals}{value}")
    return found


def _not_there(owner: str, names: Sequence[str]) -> str:
    from proofglass.studies.located import nearest

    there = f"there are {', '.join(dict.fromkeys(names))}." if names else "there is none."
    return f"{owner!r} is no member of the stack, {there}{nearest(owner, names)}"


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
