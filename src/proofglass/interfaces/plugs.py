"""What all plugs share: a name, a version, a key that says what they are."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from proofglass.digests import digest_of
from proofglass.errors import UsageError
from proofglass.interfaces.fields import take_fields
from proofglass.types import Image


@dataclass(frozen=True)
class Paper:
    """Where a method comes from. short: as the survey cites it; link: arXiv number or address."""

    short: str
    title: str
    link: str


def passed_on(field: str, name: str) -> Any:
    """What the plug in `field` says under `name`, as an attribute of the plug around it: `says = passed_on("judge",
    "says")`."""
    return property(lambda plug: getattr(getattr(plug, field), name), doc=f"That of `{field}`.")


def key_of(value: Any) -> str:
    """16 hex digits that name a value: plugs by class, version and fields, images by pixels, the rest as JSON."""
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, Plug):
        return value.key
    if isinstance(value, Image):
        return value.sha256
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (set, frozenset)):  # in one order, whatever the hashes of this process are
        return sorted((_plain(v) for v in value), key=lambda each: json.dumps(each, sort_keys=True))
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"no key for a {type(value).__name__}: plugs take plain values, images and other plugs")


class Plug:
    """What all share: a registered name, a version (raised when results change) and a key.

    not_in_key: fields that change no result (how fast, where a log goes), so the key leaves them out.
    settled: fields that a registered name settles where it stands for a value of theirs: no other is taken beside it.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    paper: ClassVar[Paper | None] = None
    not_in_key: ClassVar[tuple[str, ...]] = ()
    settled: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **named: Any) -> None:
        """Whatever a `__post_init__` looks at has been checked against its annotation before (`fields.py`)."""
        super().__init_subclass__(**named)
        own = getattr(cls, "__post_init__", None)
        if own is None or getattr(own, "takes_fields", False):
            return

        @functools.wraps(own)
        def checked(self: Plug, *given: Any) -> None:
            take_fields(self)
            own(self, *given)

        checked.takes_fields = True  # type: ignore[attr-defined]
        cls.__post_init__ = checked  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Called by the constructor of a dataclass. Override for what concerns several fields at once."""
        take_fields(self)

    __post_init__.takes_fields = True  # type: ignore[attr-defined]

    @property
    def key(self) -> str:
        """Hash of name, version, configuration and the content of the files in `reads`. Override where a run or
        something else belongs to the identity. Raises UsageError for a file that cannot be read."""
        told = [type(self).__name__, self.name, self.version, self._named()]
        try:
            contents = [digest_of(path) for path in self.reads()]
        except UsageError as error:
            raise UsageError(f"{self.name or type(self).__name__}: {error}") from error
        return key_of([*told, contents] if contents else told)

    def reads(self) -> Iterable[Path]:
        """Files and folders whose content decides the results: another content is another key. Default: every path
        among the fields outside `not_in_key`, a folder with all that lies below it. Override to name fewer (the one
        table of a large folder), or what is found in another way (a field that is a name or a path)."""
        return _paths(self._deciding())

    def _named(self) -> dict[str, Any]:
        """The fields that decide, as a key holds them. Raises UsageError, which names the field, for a value of a kind
        that no key can hold."""
        found = {}
        for field, value in self._deciding().items():
            try:
                found[field] = _plain(value)
            except TypeError as error:
                raise UsageError(f"{self.name or type(self).__name__}.{field}: {error}") from error
        return found

    def _deciding(self) -> dict[str, Any]:
        return {name: value for name, value in self.settings().items() if name not in self.not_in_key}

    def settings(self) -> dict[str, Any]:
        """The configuration, field by field: what a record needs to build this plug again."""
        if not dataclasses.is_dataclass(self):
            return {}
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}


def _paths(value: Any) -> Iterator[Path]:
    """Every path in a value; those of a plug are in its own key."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _paths(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _paths(each)
    elif isinstance(value, (set, frozenset)):
        yield from sorted(each for each in value if isinstance(each, Path))
