"""Plugs of any kind that are not described, or whose key is not theirs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.broken_plugs.material import PAPER
from proofglass.interfaces import Defense, Paper, key_of


@dataclass
class Soft(Defense):
    """Not frozen."""

    name = "soft"


@dataclass(frozen=True)
class Rules(Defense):
    """Reads its words in a file."""

    name = "rules"
    file: Path | None = None
    files: tuple[Path, ...] = ()


class PathsAreText(Rules):
    def __post_init__(self) -> None:
        object.__setattr__(self, "file", str(self.file))


@dataclass(frozen=True)
class Undocumented(Defense):
    name = "undocumented"
    paper = PAPER


@dataclass(frozen=True)
class Nameless(Defense):
    """A defense without a name."""

    paper = PAPER


@dataclass(frozen=True)
class Paperless(Defense):
    """A method that says not where it comes from."""

    name = "paperless"


@dataclass(frozen=True)
class Unlinked(Defense):
    """A method whose paper cannot be found."""

    name = "unlinked"
    paper = Paper("Nobody 2024", "A Method", "")


@dataclass(frozen=True)
class NewKeys(Defense):
    """A key that tells the time."""

    name = "new-keys"
    ticks = [0]  # noqa: RUF012

    @property
    def key(self) -> str:
        self.ticks[0] += 1
        return key_of(self.ticks[0])


@dataclass(frozen=True)
class ForgetfulKey(Defense):
    """A key without the parameter."""

    name = "forgetful-key"
    strength: float = 0.5

    @property
    def key(self) -> str:
        return key_of("forgetful")


@dataclass(frozen=True)
class Lossy(Defense):
    """Settings that do not build it again."""

    name = "lossy"
    strength: float = 0.5

    def settings(self) -> dict[str, Any]:
        return {}
