"""Name -> class, lazily. The tables of contents stand in each package's `__init__` and import nothing.

Other packages add plugs through the entry point groups `proofglass.attacks`, `.defenses`, `.victims`,
`.datasets`, `.judges`, `.models`; these are read only for an unknown name or a full list.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from proofglass.errors import UnknownName, UsageError

Kind = Literal["attacks", "defenses", "victims", "datasets", "judges", "models"]
KINDS: tuple[Kind, ...] = ("attacks", "defenses", "victims", "datasets", "judges", "models")

# Where each kind keeps its table CONTENTS: name -> "module:Class" or "module:Class(argument)".
_PACKAGES: dict[Kind, str] = {
    "attacks": "proofglass.attacks",
    "defenses": "proofglass.defenses",
    "victims": "proofglass.victims",
    "datasets": "proofglass.evaluation.datasets",
    "judges": "proofglass.evaluation.judges",
    "models": "proofglass.models",
}


@dataclass(frozen=True)
class Entry:
    """One line of a table of contents. defaults: constructor arguments that the name stands for."""

    name: str
    target: str
    defaults: dict[str, Any]

    def load(self) -> type:
        """The class behind the name. Raises UsageError if the target is broken (a bad entry point)."""
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UsageError(f"{self.name}: cannot load {self.target}: {error}") from error

    def build(self, /, **parameters: Any) -> Any:
        """The plug, configured. Parameters override the name's own defaults."""
        return self.load()(**{**self.defaults, **parameters})


def entries(kind: Kind) -> dict[str, Entry]:
    """All names of a kind, in table order, then those of other packages. Imports no plug."""
    found = dict(_own(kind))
    for point in _foreign(kind):
        found.setdefault(point.name, Entry(point.name, point.value, {}))
    return found


def entry(kind: Kind, name: str) -> Entry:
    """The entry of `name`. Raises UnknownName with the nearest names."""
    own = _own(kind)
    if name in own:
        return own[name]
    every = entries(kind)
    if name in every:
        return every[name]
    near = get_close_matches(name, every, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    raise UnknownName(f"{kind[:-1]} {name!r}: no such {kind[:-1]}.{hint} `proofglass list {kind}` shows all.")


def build(kind: Kind, name: str, /, **parameters: Any) -> Any:
    """The plug `name`, configured. Raises UnknownName, TypeError or ValueError with the field at fault."""
    return entry(kind, name).build(**parameters)


def _own(kind: Kind) -> dict[str, Entry]:
    try:
        contents = importlib.import_module(_PACKAGES[kind]).CONTENTS
    except ModuleNotFoundError:
        return {}
    return {name: _entry(name, line) for name, line in contents.items()}


def _entry(name: str, line: str | tuple[str, dict[str, Any]]) -> Entry:
    return Entry(name, line, {}) if isinstance(line, str) else Entry(name, line[0], dict(line[1]))


def _foreign(kind: Kind) -> list[EntryPoint]:
    return sorted(entry_points(group=f"proofglass.{kind}"), key=lambda point: point.name)
