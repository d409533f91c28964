"""What the fields of a plug may hold, read from their annotations and checked however the plug is built.

`batch: Count = 32`, `norm: Literal["linf", "l2"] = "linf"`, `share: Annotated[float, Interval(ge=0, le=1)] = 0.5` say
all that a check needs; a `__post_init__` is left with what concerns several fields at once. Known are numbers, texts,
truth values, `Literal`, the bounds of annotated-types (`Gt`, `Ge`, `Lt`, `Le`, `Interval`, `MinLen`), `Checked`, plugs
of a kind (`Judge`, `Encoder`), and unions and lists of these. Any other type is left to the plug.
"""

from __future__ import annotations

import functools
import numbers
import os
import re
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from annotated_types import Ge, GroupedMetadata, Gt, Interval, Le, Lt, MinLen


@dataclass(frozen=True)
class Checked:
    """Metadata for what no bound says. check(value, field): raises ValueError, whose message begins with `field: `;
    words: the same rule in a few words, for lists of parameters."""

    check: Callable[[Any, str], None]
    words: str


def _has_words(value: Any, field: str) -> None:
    if not value.strip():
        raise ValueError(f"{field}: expected no empty text, found {value!r}")


Count = Annotated[int, Ge(1)]
"""How many, at least one."""
Steps = Annotated[int, Ge(0)]
"""How often, never included."""
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
Text = Annotated[str, Checked(_has_words, "not empty")]
"""A text with words in it, not blanks alone."""


_BUILD = "; a name is for study files, in Python build it first: proofglass.registry.build(kind, name)"


def take_fields(plug: object) -> None:
    """Bring the fields of a new plug into the form that their annotations say, and check them: a string where a path
    belongs becomes one (`~` written out), a list where a tuple belongs a tuple.

    Raises ValueError, "field: expected ..., found ...", for a value that its field cannot hold.
    """
    _take_paths(plug)
    cls: Any = type(plug)
    for name, hint in hints(cls).items():
        value = getattr(plug, name)
        if fault := _fault(hint, value, name):
            named = isinstance(value, str) and any(_is_plug(each) for each in classes_in(hint))
            raise ValueError(f"{name}: expected {fault}, found {_shown(value)}{_BUILD if named else ''}")
        if _is_tuple(hint) and isinstance(value, Iterable) and not isinstance(value, (str, tuple)):
            object.__setattr__(plug, name, tuple(value))


@functools.cache
def hints(cls: Any) -> dict[str, Any]:
    """The annotation of each field of the constructor of `cls`, resolved, with its bounds. A field whose annotation
    cannot be resolved (a name that is imported for type checkers only) is left out."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, annotation in vars(base).get("__annotations__", {}).items():
            found.pop(name, None)
            try:
                found[name] = _resolved(annotation, base)
            except Exception:  # whatever somebody's annotation does: nothing is known about this field
                continue
    return {f.name: found[f.name] for f in _fields(cls) if f.init and f.name in found}


def classes_in(hint: Any) -> list[type]:
    """Every class named in an annotation: `tuple[Victim, ...] | None` -> [Victim, NoneType]."""
    inner = [each for each in typing.get_args(hint) if each is not Ellipsis]
    if typing.get_origin(hint) is Literal:
        return []
    if typing.get_origin(hint) is Annotated:
        return classes_in(inner[0])
    if inner:
        return [found for each in inner for found in classes_in(each)]
    return [hint] if isinstance(hint, type) else []


def spelled(hint: Any) -> str:
    """An annotation in a few words, for a list of parameters: `int (at least 1) | None`."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        told = [words for bound in inner[1:] if (words := _words(bound))]
        return f"{spelled(inner[0])} ({', '.join(told)})" if told else spelled(inner[0])
    if _is_union(hint):
        return " | ".join(spelled(one) for one in inner)
    if origin is Literal:
        return " | ".join(repr(word) for word in inner)
    if origin is not None:
        return f"{_name(origin)}[{', '.join('...' if one is Ellipsis else spelled(one) for one in inner)}]"
    return "None" if hint is type(None) else _name(hint)


# ---- checks ----


def _fault(hint: Any, value: Any, field: str) -> str:
    """What was expected in place of `value`; "" where it fits, or where the annotation says nothing about it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _fault(inner[0], value, field) or _beyond(inner[1:], value, field)
    if _is_union(hint):
        faults = [_fault(one, value, field) for one in inner]
        return "" if "" in faults else " or ".join(dict.fromkeys(faults))
    if origin is Literal:
        fits = any(value == word and type(value) is type(word) for word in inner)
        return "" if fits else _either([str(word) for word in inner if word != ""] + ["nothing"] * ("" in inner))
    if origin in (tuple, list, Sequence) and inner:
        return _of_list(inner, value, field)
    if _is_plug(hint):
        return "" if isinstance(value, hint) else f"a {hint.__name__}"
    return "" if hint not in _KINDS or _KINDS[hint][1](value) else _KINDS[hint][0]


def _is_plug(hint: Any) -> bool:
    from proofglass.interfaces.plugs import Plug  # which checks its own fields here

    return isinstance(hint, type) and issubclass(hint, Plug)


# Kind -> its name, and whether a value is of it: true and false are no numbers.
_KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    int: ("a whole number", lambda v: isinstance(v, numbers.Integral) and not isinstance(v, bool)),
    float: ("a number", lambda v: isinstance(v, numbers.Real) and not isinstance(v, bool)),
    bool: ("true or false", lambda v: isinstance(v, bool)),
    str: ("a text", lambda v: isinstance(v, str)),
    type(None): ("None", lambda v: v is None),
}


def _of_list(inner: Sequence[Any], value: Any, field: str) -> str:
    """Of tuple[X, ...], list[X], Sequence[X], or tuple[A, B]."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        one = typing.get_args(inner[0])[0] if typing.get_origin(inner[0]) is Annotated else inner[0]
        return f"a list of {one_of[0].removeprefix('a ')}s" if (one_of := _KINDS.get(one)) else "a list"
    given = tuple(value)
    every = len(inner) == 1 or inner[-1] is Ellipsis
    if not every and len(given) != len(inner):
        return f"a list of {len(inner)}"
    pairs = zip([inner[0]] * len(given) if every else inner, given, strict=True)
    fault = next((told for hint, one in pairs if (told := _fault(hint, one, field))), "")
    return f"a list, each {fault}" if fault else ""


def _beyond(bounds: Iterable[Any], value: Any, field: str) -> str:
    """The bounds that `value` breaks, in words. NaN is within no bound."""
    for bound in bounds:
        if isinstance(bound, Checked):
            bound.check(value, field)
        elif not all(_holds(one, value) for one in _parts(bound)):
            return _words(bound)
    return ""


def _parts(bound: Any) -> list[Any]:
    return list(bound) if isinstance(bound, GroupedMetadata) else [bound]


def _holds(bound: Any, value: Any) -> bool:
    match bound:
        case Gt(least):
            return bool(value > least)
        case Ge(least):
            return bool(value >= least)
        case Lt(most):
            return bool(value < most)
        case Le(most):
            return bool(value <= most)
        case MinLen(least):
            return len(value) >= least
    return True  # a kind of bound that is not known here


def _words(bound: Any) -> str:
    """A bound in words; "" for one that is not known here."""
    if isinstance(bound, Checked):
        return bound.words
    if isinstance(bound, Interval) and bound.ge is not None and bound.le is not None:
        return f"{_number(bound.ge)} to {_number(bound.le)}"
    return " and ".join(told for one in _parts(bound) if (told := _one_bound(one)))


def _one_bound(bound: Any) -> str:
    match bound:
        case Gt(least):
            return f"more than {_number(least)}"
        case Ge(least):
            return f"at least {_number(least)}"
        case Lt(most):
            return f"less than {_number(most)}"
        case Le(most):
            return f"at most {_number(most)}"
        case MinLen(least):
            return "at least one" if least == 1 else f"at least {least} of them"
    return ""


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _shown(value: Any) -> str:
    if isinstance(value, (str, list, tuple, dict)) and not value:
        return "none" if not isinstance(value, str) else "''"
    return f"{value:g}" if isinstance(value, float) else _SHORT.repr(value)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


# ---- annotations ----


def _fields(plug: Any) -> tuple[Field[Any], ...]:
    return fields(plug) if is_dataclass(plug) else ()


def _resolved(annotation: Any, owner: type) -> Any:
    def holder() -> None: ...

    holder.__annotations__ = {"field": annotation}
    module = sys.modules.get(owner.__module__)  # None: code of a notebook or a page
    return typing.get_type_hints(holder, vars(module) if module else {}, include_extras=True)["field"]


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (Union, types.UnionType)


def _is_tuple(hint: Any) -> bool:
    """Whether a field holds a tuple, or a tuple or None."""
    if typing.get_origin(hint) is Annotated or _is_union(hint):
        return any(_is_tuple(one) for one in typing.get_args(hint))
    return typing.get_origin(hint) is tuple


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _take_paths(plug: object) -> None:
    """A field of `str | Path` takes names too and tells them apart by itself."""
    for field in _fields(plug):
        words = set(re.findall(r"\w+", field.type if isinstance(field.type, str) else str(field.type)))
        if "Path" not in words or "str" in words:
            continue
        value = getattr(plug, field.name)
        if words & {"tuple", "list", "Sequence"} and isinstance(value, (list, tuple)):
            taken: Any = tuple(_path(field.name, each) for each in value)
        else:
            taken = value if value is None else _path(field.name, value)
        if taken != value:
            object.__setattr__(plug, field.name, taken)


def _path(field: str, value: Any) -> Path:
    if isinstance(value, (str, os.PathLike)) and str(value):
        return Path(value).expanduser()
    raise ValueError(f"{field}: expected a path, found {value!r}")
