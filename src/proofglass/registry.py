"""Name -> class, lazily. The tables of contents stand in each package's `__init__` and import nothing.

Other packages add plugs through the entry point groups `proofglass.attacks`, `.defenses`, `.victims`,
`.datasets`, `.judges`, `.metrics`, `.models`; these are read only for an unknown name or a full list.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib.metadata import EntryPoint, EntryPoints, distributions, entry_points
from typing import Any, Literal

from proofglass.errors import ProofglassError, UnknownName, UsageError
from proofglass.faults import briefly, stops_the_run
from proofglass.interfaces import Attack, Composed, Dataset, Defense, Judge, Metric, Model, Stack, Victim

Kind = Literal["attacks", "defenses", "victims", "datasets", "judges", "metrics", "models"]
KINDS: tuple[Kind, ...] = ("attacks", "defenses", "victims", "datasets", "judges", "metrics", "models")

# Where each kind keeps its table CONTENTS: name -> "module:Class" or "module:Class(argument)".
_PACKAGES: dict[Kind, str] = {
    "attacks": "proofglass.attacks",
    "defenses": "proofglass.defenses",
    "victims": "proofglass.victims",
    "datasets": "proofglass.evaluation.datasets",
    "judges": "proofglass.evaluation.judges",
    "metrics": "proofglass.evaluation.metrics",
    "models": "proofglass.models",
}

# What a plug of each kind is.
BASES: dict[Kind, type] = {
    "attacks": Attack,
    "defenses": Defense,
    "victims": Victim,
    "datasets": Dataset,
    "judges": Judge,
    "metrics": Metric,
    "models": Model,
}


@dataclass(frozen=True)
class Entry:
    """One line of a table of contents. defaults: constructor arguments that the name stands for.

    package: the distribution that adds it, "" for ours. fault: why the name cannot be used, "" if nothing is known.
    """

    kind: Kind
    name: str
    target: str
    defaults: dict[str, Any] = field(default_factory=dict)
    package: str = ""
    fault: str = ""

    def load(self) -> type:
        """The class behind the name. Raises UsageError if its import fails in whatever way, or if it is no plug."""
        if self.fault:
            raise UsageError(f"{self.name}: {self.fault}")
        module, _, attribute = self.target.partition(":")
        origin = f" (package {self.package})" if self.package else ""
        try:
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
            wrong = what_is_wrong(found, self.kind)
        except BaseException as error:  # foreign code: it may end with sys.exit, or raise what it likes
            if stops_the_run(error):
                raise
            raise UsageError(f"{self.name}: cannot load {self.target}{origin}: {briefly(error)}") from error
        if wrong:
            raise UsageError(f"{self.name}: {self.target}{origin} {wrong}")
        plug: type = found
        return plug

    def build(self, /, **parameters: Any) -> Any:
        """The plug, configured. Parameters override the name's own defaults, except those that it settles."""
        return made(self.load(), self.with_defaults(parameters))

    def with_defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the name stands for, and what is `given`. Raises ValueError for another value of what it settles."""
        for field_ in getattr(self.load(), "settled", ()) if self.defaults else ():
            own = self.defaults.get(field_)
            if own is not None and field_ in given and given[field_] != own:
                raise ValueError(
                    f"{field_}: expected {own!r}, which {self.name} stands for, found {given[field_]!r}; leave it out, "
                    f"or take the {self.kind[:-1]} of that name"
                )
        return {**self.defaults, **given}


def what_is_wrong(found: Any, kind: Kind) -> str:
    """Why `found` is no plug of this kind, for the end of a line that begins with its name; "" if it is one."""
    base = BASES[kind]
    if not isinstance(found, type):
        what = "a function" if inspect.isroutine(found) else f"a {type(found).__name__}"
        return f"is {what}, expected a class that is a proofglass.interfaces.{base.__name__}"
    if not issubclass(found, base):
        return (
            f"is {found.__name__}, which is no {base.__name__}; its base must be proofglass.interfaces.{base.__name__}"
        )
    decorated = "__dataclass_fields__" in vars(found)
    if not (decorated or (dataclasses.is_dataclass(found) and not _annotated(found))):
        return "is no dataclass, so its fields would be no parameters; write @dataclass(frozen=True) above the class"
    fields = {f.name for f in dataclasses.fields(found)}  # type: ignore[arg-type]
    name = inspect.getattr_static(found, "name", "")
    if "name" not in fields and (not name.strip() if isinstance(name, str) else not hasattr(type(name), "__get__")):
        return f'has no name; write name = "..." in the class {found.__name__}'
    return ""


def _annotated(plug: type) -> bool:
    """Whether the class body itself holds a field, which is lost where the decorator stands above its base only."""
    return any("ClassVar" not in str(hint) for hint in inspect.get_annotations(plug).values())


def made(plug: type, values: Mapping[str, Any]) -> Any:
    """`plug(**values)`. Raises what a plug says of its fields (ValueError, TypeError, ProofglassError), and UsageError
    for anything else that its constructor raises."""
    try:
        return plug(**values)
    except (ValueError, TypeError, ProofglassError):
        raise
    except BaseException as error:
        if stops_the_run(error):
            raise
        raise UsageError(f"{plug.__name__} cannot be made: {briefly(error)}") from error


def entries(kind: Kind) -> dict[str, Entry]:
    """All names of a kind, in table order, then those of other packages. Imports no plug.

    A name that several packages add stands for none of them: its entry says who they are, and cannot be used.
    """
    found = dict(_own(kind))
    foreign: dict[str, list[Entry]] = {}
    for each in _foreign(kind)[0]:
        foreign.setdefault(each.name, []).append(each)
    for name, same in foreign.items():
        found.setdefault(name, same[0] if len(same) == 1 else _contested(kind, name, same))
    return found


def unusable(kind: Kind) -> list[Entry]:
    """What other packages would add and cannot: names that are ours, and packages whose entry points are malformed."""
    own = _own(kind)
    points, broken = _foreign(kind)
    fault = "hidden: Proofglass has a plug of this name; its package must give it another"
    return [
        *(replace(each, fault=f"{fault} ({each.package or each.target})") for each in points if each.name in own),
        *broken,
    ]


def _contested(kind: Kind, name: str, same: Sequence[Entry]) -> Entry:
    rivals = " and ".join(f"{each.package or 'a package'} ({each.target})" for each in same)
    fault = f"{len(same)} packages add this name: {rivals}. Uninstall all but one, or have one renamed"
    return Entry(kind, name, " | ".join(each.target for each in same), fault=fault)


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
    """The plug `name`, configured; several attacks or defenses as `a + b`, as they are by default. Raises UnknownName,
    TypeError or ValueError with the field at fault, UsageError for a plug that cannot be loaded or made."""
    if (names := several(kind, name)) is None:
        return entry(kind, name).build(**parameters)
    if parameters:
        raise TypeError(f"{name}: takes no parameters; configure each member by itself and add them up")
    return joined(kind, [entry(kind, each).build() for each in names])


def several(kind: Kind, name: str) -> list[str] | None:
    """The members of `a + b`, attacks or defenses; None where `name` is that of one plug."""
    if kind not in ("attacks", "defenses") or "+" not in name or name in entries(kind):
        return None
    return [each.strip() for each in name.split("+")]


def joined(kind: Kind, members: Sequence[Any]) -> Any:
    """Attacks one after the other, or defenses around each other, as one."""
    return Composed(tuple(members)) if kind == "attacks" else Stack(tuple(members))


def _own(kind: Kind) -> dict[str, Entry]:
    try:
        contents = importlib.import_module(_PACKAGES[kind]).CONTENTS
    except ModuleNotFoundError:
        return {}
    return {name: _entry(kind, name, line) for name, line in contents.items()}


def _entry(kind: Kind, name: str, line: str | tuple[str, dict[str, Any]]) -> Entry:
    return Entry(kind, name, line) if isinstance(line, str) else Entry(kind, name, line[0], dict(line[1]))


def _foreign(kind: Kind) -> tuple[list[Entry], list[Entry]]:
    """What other packages add, by name; and an entry for each package whose entry points cannot be read."""
    group, broken = f"proofglass.{kind}", []
    try:
        points: Iterable[EntryPoint] = entry_points(group=group)
    except Exception:  # one malformed file, and nothing of any package is read
        found: dict[str, EntryPoints] = {}
        for package in distributions():
            name = str(package.metadata["Name"])
            try:
                found.setdefault(name, package.entry_points)
            except Exception as error:
                broken.append(Entry(kind, name, "", package=name, fault=f"its entry points are malformed: {error}"))
        points = [point for each in found.values() for point in each.select(group=group)]
    added = [Entry(kind, point.name, point.value, package=_package(point)) for point in points]
    return sorted(added, key=lambda each: (each.name, each.package, each.target)), broken


def _package(point: EntryPoint) -> str:
    """The distribution of an entry point, with its version."""
    package = getattr(point, "dist", None)
    return f"{package.name} {package.version}" if package else ""
