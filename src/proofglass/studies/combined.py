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
    if (parts := several(kind, name)) is None:
        return _one(source, kind, place, name, given, (*place, name))
    return _several(source, kind, place, name, parts, given)


def _one(source: Located, kind: Kind, place: Place, name: str, given: Any, at: Place) -> Made:
    found = find(kind, name, source, place)
    make = load(found, source, place)
    values = settled(found, parameters(make, given, source, at), source, at)
    return make, values, construct(make, values, source, at)


def _several(source: Located, kind: Kind, place: Place, name: str, parts: list[str], given: Any) -> Made:
    at = (*place, name)
    if not all(parts):
        raise source.error(place, f"found {name!r}. Expected names between the signs, such as `a + b`.")
    if given is not None and not isinstance(given, dict):
        raise source.error(at, f"found {given!r}. Expected parameters by member, `{parts[0]}: {{...}}`.")
    for part in given or ():
        if part not in parts:
            wanted = f"{', '.join(parts)}.{nearest(str(part), parts)}"
            raise source.error((*at, part), f"no member of {name!r}. Expected parameters of {wanted}")
    members = [_one(source, kind, place, part, (given or {}).get(part), (*at, part)) for part in parts]

    def make() -> Any:
        return joined(kind, [make_one(**values) for make_one, values, _ in members])

    return make, {}, make()
