"""YAML whose every value knows its line: what lets an error in a study name its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from proofglass.errors import UsageError
from proofglass.records.schema import is_secret

_PLAIN = ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")
Place = tuple[str | int, ...]  # ("attacks", 0, "figstep", "size") is attacks[0].figstep.size


@dataclass(frozen=True)
class Located:
    """A YAML document: its plain values, and the line of each place in it.

    file: shown in errors. public: the text with secret values written as "***".
    """

    file: str
    values: Any
    lines: dict[Place, int] = field(repr=False)
    public: str = field(repr=False)

    def error(self, place: Place, text: str, kind: type[UsageError] = UsageError) -> UsageError:
        """`FILE:LINE: path.to.field: text`; the line of the nearest enclosing value if the place is absent."""
        at = place
        while at and at not in self.lines:
            at = at[:-1]
        where = f"{self.file}:{self.lines.get(at, 1)}: "
        return kind(where + (f"{dotted(place)}: " if place else "") + text)


def dotted(place: Place) -> str:
    """`attacks[0].figstep.size`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def nearest(name: str, known: Iterable[str]) -> str:
    """ " Did you mean 'x'?", or nothing if no known name is near."""
    near = get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def read(path: Path) -> Located:
    """The YAML file at `path`. Raises UsageError if it cannot be read or is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start}).") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}.") from error
    return parse(text, str(path))


def parse(text: str, file: str) -> Located:
    """`text` as YAML 1.1, safe types only. Raises UsageError with the line of the first fault."""
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise UsageError(f"{file}:1: the file is empty. Expected a study; `proofglass run demo` shows one.")
        reader = _Reader(file, loader)
        values = reader.value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise UsageError(f"{file}:{line}: not YAML: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{file}:1: not YAML: {error}.") from error
    public = text
    for start, end in sorted(reader.secrets, reverse=True):
        public = public[:start] + '"***"' + public[end:]
    return Located(file, values, reader.lines, public)


class _Reader:
    """Walks the nodes of a document once, and notes line numbers and the spans of secrets."""

    def __init__(self, file: str, loader: Any) -> None:
        self.file, self.loader = file, loader
        self.lines: dict[Place, int] = {}
        self.secrets: set[tuple[int, int]] = set()
        self._open: set[int] = set()

    def value(self, node: Any, place: Place) -> Any:
        import yaml

        self.lines.setdefault(place, node.start_mark.line + 1)
        if len(self.lines) > 100_000:
            raise UsageError(f"{self.file}: more than 100000 values. Expected a study, not data.")
        if isinstance(node, yaml.ScalarNode):
            return self.loader.construct_object(node)
        if id(node) in self._open:
            raise UsageError(f"{self.file}:{self.lines[place]}: {dotted(place)}: an alias that contains itself.")
        if node.tag not in _PLAIN:
            raise UsageError(
                f"{self.file}:{self.lines[place]}: {dotted(place)}: not YAML of a study: the tag {node.tag}. "
                "Expected plain lists and mappings."
            )
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*place, k)) for k, item in enumerate(node.value)]
            return self._mapping(node, place)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Any, place: Place) -> dict[str, Any]:
        own = {id(key) for key, _ in node.value}
        self.loader.flatten_mapping(node)  # "<<" merges
        found: dict[str, Any] = {}
        for key_node, child in node.value:
            key = self.loader.construct_object(key_node, deep=True)
            if isinstance(key, (bool, int, float)):  # 1, yes: a value of a column, which tables hold as text
                key = key_node.value
            if not isinstance(key, str):
                line = key_node.start_mark.line + 1
                raise UsageError(f"{self.file}:{line}: {dotted(place)}: field {key!r}: expected a name.")
            at = (*place, key)
            if key in found and id(key_node) in own and at in self.lines:
                line = key_node.start_mark.line + 1
                raise UsageError(
                    f"{self.file}:{line}: {dotted(at)}: stands twice, first in line {self.lines[at]}. Keep one."
                )
            self.lines[at] = key_node.start_mark.line + 1
            found[key] = self.value(child, at)
            if is_secret(key, found[key]):
                self.secrets.add((child.start_mark.index, child.end_mark.index))
        return found
