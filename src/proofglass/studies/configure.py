"""Parameters of a study -> a configured plug. Types come from the plug's dataclass, checked by pydantic."""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from pathlib import Path
from typing import Any

from proofglass.console import cut
from proofglass.errors import ImageError, UnknownName, UsageError, is_environment
from proofglass.faults import briefly
from proofglass.interfaces import Attack, Dataset, Defense, Judge, Model, Victim
from proofglass.interfaces.fields import hints as field_hints
from proofglass.records.schema import is_secret
from proofglass.registry import Entry, Kind, entries, entry, made
from proofglass.studies.located import Located, Place, dotted, nearest
from proofglass.types import Image

ON_LINE = "on the command line"
# Where the plugs are registered that a field of another plug holds.
_HELD: dict[Kind, type] = {
    "judges": Judge, "datasets": Dataset, "models": Model, "defenses": Defense, "attacks": Attack,
}  # fmt: skip
_FRACTION = re.compile(r"\s*([-+]?[\d.]+)\s*/\s*([\d.]+)\s*")


def find(kind: Kind, name: str, source: Located, place: Place) -> Entry:
    """The registered plug `name`. Raises UnknownName with file and line."""
    try:
        return entry(kind, name)
    except UnknownName as error:
        raise source.error(place, str(error), UnknownName) from error


def load(found: Entry, source: Located, place: Place) -> type:
    """The class behind an entry. Raises UsageError with file and line where it cannot be loaded or is no plug."""
    try:
        return found.load()
    except UsageError as error:
        raise source.error(place, str(error), type(error)) from error


def parameters(cls: type, given: Any, source: Located, place: Place) -> dict[str, Any]:
    """`given` (a mapping of the YAML, or None) as values of the fields of the dataclass `cls`.

    Fractions ("16/255") and exponents ("1e-3") become floats, paths are relative to the study's folder, a path
    of a picture becomes an Image. Raises UsageError naming file, line, field, what is wrong and expected.
    """
    if given is None:
        return {}
    fields = _fields(cls)
    takes = f"{cls.__name__} takes {', '.join(fields)}." if fields else f"{cls.__name__} takes no parameters."
    if not isinstance(given, dict):
        raise source.error(place, f"found {given!r}. Expected parameters, `name: value`. {takes}")
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception as error:  # a name that is imported for type checkers only, or misspelt
        reason = f"the types of the fields of {cls.__name__} cannot be read: {briefly(error)}"
        raise source.error(place, reason) from error
    for name in given:
        if name not in fields:
            raise source.error((*place, name), f"no such parameter. {takes}{nearest(name, fields)}")
    return {name: _value(hints[name], value, source, (*place, name)) for name, value in given.items()}


def settled(found: Entry, given: dict[str, Any], source: Located, place: Place) -> dict[str, Any]:
    """What the name of an entry stands for, and what is `given`; a value that the name does not allow is shown with
    file and line."""
    try:
        return found.with_defaults(given)
    except ValueError as error:
        field, _, rest = str(error).partition(":")
        raise source.error((*place, field), rest.strip()) from error


def construct(cls: type, values: dict[str, Any], source: Located, place: Place) -> Any:
    """`cls(**values)`; what is missing, and its own complaints (`__post_init__`), are shown with file and line."""
    missing = [f.name for f in _fields(cls).values() if _is_required(f) and f.name not in values]
    if missing:
        raise source.error(place, f"{cls.__name__} needs {', '.join(missing)}. Expected `{missing[0]}: ...` below it.")
    try:
        return made(cls, values)
    except UsageError as error:
        raise source.error(place, str(error), type(error)) from error
    except (ValueError, TypeError) as error:
        # Plugs say "field: what is wrong": then the field's own line is the place.
        field, _, rest = str(error).partition(":")
        if rest and (*place, field) in source.lines:
            raise source.error((*place, field), rest.strip()) from error
        raise source.error(place, str(error) or f"{cls.__name__} cannot be made: {briefly(error)}") from error


def plug_in(cls: type, field: str, value: Any, origin: str) -> Any:
    """`value` as the plug that this field of `cls` takes, where it takes plugs and `value` names one: `refusal`, or
    `{target-string: {...}}`; any other value as it stands. Raises UsageError that begins with `origin`."""
    hint = field_hints(cls).get(field)
    kinds = _helper_kinds(hint)
    if not kinds or not isinstance(value, (str, dict, list)):
        return value
    return _helpers(hint, kinds, value, _Words(origin, {}, {}, ""), (field,))


def unfolded(cls: type, field: str, value: Any, origin: str) -> Any:
    """A text that writes a list or a mapping as a study does, `{hf: {path: /x}}`, as what it writes, where this field
    of `cls` takes no text; any other value as it stands. Raises UsageError that begins with `origin` for one that opens
    a bracket and is not YAML."""
    hint = field_hints(cls).get(field)
    if not isinstance(value, str) or hint is None or (_takes_text(hint) and not _helper_kinds(hint)):
        return value
    import yaml

    try:
        found = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if not value.lstrip().startswith(("{", "[")):
            return value
        why = " ".join(str(getattr(error, "problem", None) or error).split())
        form = "a name, or '{name: {parameter: value}}'" if _helper_kinds(hint) else "'{name: value}' or '[a, b]'"
        found = cut(value, 200, ON_LINE)
        text = f"{origin} {field}: found {found}, which is neither JSON nor YAML ({why}). Expected {form}."
        raise UsageError(text) from error
    return found if isinstance(found, (dict, list)) else value


def _takes_text(hint: Any) -> bool:
    """Whether a field may hold a text itself, not in a list."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return True
    if origin in (typing.Annotated, typing.Union, types.UnionType):
        return any(_takes_text(each) for each in (inner[:1] if origin is typing.Annotated else inner))
    return hint in (str, Path, Any, object)


class _Words(Located):
    """What a command line sets, which has no lines."""

    def error(self, place: Place, text: str, kind: type[UsageError] = UsageError) -> UsageError:
        return kind(f"{self.file} {dotted(place)}: {text}")


def _fields(cls: type) -> dict[str, dataclasses.Field[Any]]:
    return {f.name: f for f in dataclasses.fields(cls) if f.init} if dataclasses.is_dataclass(cls) else {}


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _value(hint: Any, value: Any, source: Located, place: Place) -> Any:
    """`value` as a `hint`: as it stands, else with its fractions worked out."""
    if kinds := _helper_kinds(hint):
        return _helpers(hint, kinds, value, source, place)
    nested = next((t for t in _leaves(hint) if dataclasses.is_dataclass(t)), None)
    if isinstance(value, dict) and isinstance(nested, type):
        # By hand: pydantic would ignore a misspelt field of a dataclass.
        return construct(nested, parameters(nested, value, source, place), source, place)
    if isinstance(value, str) and Image in _leaves(hint) and str not in _leaves(hint):
        return _picture(value, source, place)
    fault = None
    for candidate in (value, _fractions(value)):
        try:
            found = _check(hint, candidate)
        except ValueError as error:
            fault = fault or error
        except Exception as error:  # a type that pydantic cannot check
            if is_environment(error):
                raise
            raise source.error(place, f"a value of the type {hint} cannot be checked: {briefly(error)}") from error
        else:
            return _beside(found, source)
    shown = "this value" if is_secret(str(place[-1]), value) else repr(value)
    raise source.error(place, f"found {shown}. Expected {_expected(fault)}.{_near(fault, value)}")


def _helper_kinds(hint: Any) -> tuple[Kind, ...]:
    """Where the plugs are registered that a field takes: a helper (`Victim`; some models are one), an encoder or
    detector (`Model`), another judge, data set, defense or attack. None for a field that takes their names: it finds
    them by itself."""
    leaves = {leaf for leaf in _leaves(hint) if isinstance(leaf, type)}
    if str in leaves:
        return ()
    if any(issubclass(leaf, Victim) for leaf in leaves):
        return "victims", "models"
    return next(((kind,) for kind, cls in _HELD.items() if any(issubclass(leaf, cls) for leaf in leaves)), ())


def _helpers(hint: Any, kinds: tuple[Kind, ...], value: Any, source: Located, place: Place) -> Any:
    """The models that `value` names, `helper: testbed-lm-aligned` or `helper: {hf: {path: ...}}`; several as a list
    where the field takes several, or one of them alone. Their weights load on first use."""
    if value is None and type(None) in _leaves(hint):
        return None
    if isinstance(value, list) and tuple in _origins(hint):
        return tuple(_helper(hint, kinds, each, source, (*place, k)) for k, each in enumerate(value))
    one = _helper(hint, kinds, value, source, place)
    return (one,) if _takes_several_only(hint) else one


def _helper(hint: Any, kinds: tuple[Kind, ...], value: Any, source: Located, place: Place) -> Any:
    what = "data set" if kinds[0] == "datasets" else "model" if "models" in kinds else kinds[0][:-1]
    name, given = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, None)
    if not isinstance(name, str):
        raise source.error(place, f"found {value!r}. Expected a {what} by its name, or `name: {{parameter: value}}`.")
    known = {each: kind for kind in reversed(kinds) for each in entries(kind)}
    if ":" in name and isinstance(source, _Words):  # a class that is registered nowhere, as a command line names one
        found = _unregistered(kinds, name, source, place)
    elif name in known:
        found = find(known[name], name, source, place)
    else:
        form = ""
        if isinstance(source, _Words):
            form = f" Expected a {what} by its name or package.module:Class, or '{{name: {{parameter: value}}}}'."
        listed = " or ".join(f"`proofglass list {kind}`" for kind in kinds)
        raise source.error(
            place, f"no such {what}: {name!r}.{nearest(name, known)} {listed} shows all.{form}", UnknownName
        )
    make = load(found, source, place)
    inner = (*place, name) if given is not None else place
    helper = construct(make, settled(found, parameters(make, given, source, inner), source, inner), source, inner)
    wanted = tuple(
        leaf for leaf in _leaves(hint) if isinstance(leaf, type) and issubclass(leaf, (Victim, *_HELD.values()))
    )
    if not isinstance(helper, wanted):
        expected = " or ".join(sorted(leaf.__name__ for leaf in wanted))
        raise source.error(place, f"{name} is a {type(helper).__name__}. Expected a {what} that is a {expected}.")
    return helper


def _unregistered(kinds: tuple[Kind, ...], name: str, source: Located, place: Place) -> Entry:
    """The entry of `package.module:Class`, of the first kind that it is."""
    faults = []
    for kind in kinds:
        found = Entry(kind, name, name)
        try:
            found.load()
        except UsageError as error:
            faults.append(str(error))
        else:
            return found
    raise source.error(place, faults[0])


def _takes_several_only(hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    return origin is tuple or (origin is typing.Annotated and _takes_several_only(inner[0]))


def _origins(hint: Any) -> set[Any]:
    """The containers in a hint: tuple[Victim, ...] | None -> {tuple, UnionType}."""
    inner = [_origins(each) for each in typing.get_args(hint)]
    return {typing.get_origin(hint)}.union(*inner) - {None}


def _check(hint: Any, value: Any) -> Any:
    """`value` validated as `hint` by pydantic. Raises pydantic's ValidationError, a ValueError."""
    from pydantic import ConfigDict, TypeAdapter

    if isinstance(value, bool) and not {bool, Any} & _leaves(hint):
        raise ValueError("another value: true and false (also yes, no, on, off) are no number and no text")
    if value == "" and Path in (leaves := _leaves(hint)) and str not in leaves:
        raise ValueError("a path: an empty one would be the folder of the study")
    is_own = dataclasses.is_dataclass(hint) and isinstance(hint, type)
    config = None if is_own else ConfigDict(arbitrary_types_allowed=True)
    return TypeAdapter(hint, config=config).validate_python(value)


def _leaves(hint: Any) -> set[Any]:
    """Every type named in a hint: float | None -> {float, NoneType}."""
    inner = typing.get_args(hint)
    if not inner or typing.get_origin(hint) is typing.Literal:
        return {hint}
    return set().union(*(_leaves(t) for t in inner if t is not Ellipsis))


def _fractions(value: Any) -> Any:
    """16/255 in every text of `value` worked out; the rest as it stands."""
    if isinstance(value, list):
        return [_fractions(item) for item in value]
    if isinstance(value, dict):
        return {name: _fractions(item) for name, item in value.items()}
    match = _FRACTION.fullmatch(value) if isinstance(value, str) else None
    try:
        return float(match[1]) / float(match[2]) if match else value
    except (ValueError, ZeroDivisionError):
        return value


def _beside(value: Any, source: Located) -> Any:
    """A relative path is relative to the study's file, wherever the command runs."""
    if isinstance(value, Path) and not value.is_absolute():
        return Path(os.path.join(os.path.dirname(source.file), value.expanduser()))
    return value


def _picture(path: str, source: Located, place: Place) -> Image:
    from proofglass import images

    try:
        return images.read(_beside(Path(path), source))
    except (OSError, ImageError) as error:
        raise source.error(place, f"{error}. Expected the path of a picture.") from error


def _expected(fault: Any) -> str:
    """What pydantic wanted, in our words."""
    if not hasattr(fault, "errors"):
        return str(fault)
    wanted = [e["msg"].removeprefix("Input should be ") for e in fault.errors(include_url=False)]
    return " or ".join(dict.fromkeys(text[:1].lower() + text[1:] for text in wanted))


def _near(fault: Any, value: Any) -> str:
    """The nearest allowed word, where the field takes words; where it came by truth values instead of them."""
    given = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(each, bool) for each in given) and "valid string" in str(fault):
        return " YAML reads a bare Yes or No as a truth value: quote it."
    if not isinstance(value, str) or not hasattr(fault, "errors"):
        return ""
    allowed = [word for e in fault.errors() for word in re.findall(r"'([^']*)'", e["msg"])]
    return nearest(value, allowed)
