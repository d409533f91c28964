"""Of what kind the plugs in the fields of a defense are."""

from __future__ import annotations

import reprlib

from proofglass.interfaces import Plug

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def check_kinds(plug: Plug, **kinds: type[Plug]) -> None:
    """Raises ValueError, which names the field, where a field of `plug` (or one of its members, or anything but None)
    is no plug of its kind: a name, say, or a victim where a painter belongs."""
    for field, kind in kinds.items():
        value = getattr(plug, field)
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None and not isinstance(one, kind):
                found = f"the {type(one).__name__} {one.name}" if isinstance(one, Plug) else _SHORT.repr(one)
                raise ValueError(f"{field}: expected a {kind.__name__}, found {found}")
