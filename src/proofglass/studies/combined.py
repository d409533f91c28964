"""A line of a list of a study as a plug: one by its name, or several, `a + b`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proofglass.registry import Kind, joined, several
from proofglass.studies.configure import construct, find, load, parameters, settled
from proofglass.studies.located import Located, Place, nearest

Made = tuple[Callable[..., Any], dict[str, Any], Any]
"""What makes a plug, of which values, and the plug."""


def made(source: Located, kind: Kind, place: Place, name: str, given: Any) -> Made:
    """The plug `name` with the parameters `given`. Attacks one after the other and defenses around each other are
    written `a + b`, with the parameters of each below its own name. Raises UsageError with file and line."""
    every = members(source, kind, place, name, given)
    if several(kind, name) is None:
        ((part, values, at),) = every
        return _one(source, kind, place, part, values, at)
    built = [_one(source, kind, place, part, values, at) for part, values, at in every]

    def make() -> Any:
        return joined(kind, [make_one(**values) for make_one, values, _ in built])

    return make, {}, make()


def members(source: Located, kind: Kind, place: Place, name: str, given: Any) -> list[tuple[str, Any, Place]]:
    """Name, parameters and their place of each plug that the line `name: given` is made of: of one, or of the members
    of `a + b` in order. Raises UsageError for a line that is none."""
    at = (*place, name)
    if (parts := several(kind, name)) is None:
        return [(name, given, at)]
    if not all(parts):
        raise source.error(place, f"found {name!r}. Expected names between the signs, such as `a + b`.")
    if given is not None and not isinstance(given, dict):
        raise source.error(at, f"found {given!r}. Expected parameters by member, `{parts[0]}: {{...}}`.")
    for part in given or ():
        if part not in parts:
            wanted = f"{', '.join(parts)}.{nearest(str(part), parts)}"
            raise source.error((*at, part), f"no member of {name!r}. Expected parameters of {wanted}")
    return [(part, (given or {}).get(part), (*at, part)) for part in parts]


def _one(source: Located, kind: Kind, place: Place, name: str, given: Any, at: Place) -> Made:
    found = find(kind, name, source, place)
    make = load(found, source, place)
    values = settled(found, parameters(make, given, source, at), source, at)
    return make, values, construct(make, values, source, at)
