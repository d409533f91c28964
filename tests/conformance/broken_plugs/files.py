"""Plugs that read files: judges and data sets whose key does or does not follow their content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from conformance.broken_plugs.material import grey
from proofglass import images
from proofglass.errors import ImageError
from proofglass.evaluation.datasets.reading import picture_in
from proofglass.interfaces import Dataset, Judge, key_of
from proofglass.types import Attempt, BadSample, Chat, Image, Sample, Score


def files_in(folder: Path) -> Path:
    """A folder with rules, a table of two rows (one of them with a picture) and a crafting split."""
    images.write(grey(90), folder / "a.png")
    (folder / "rules.txt").write_text("no way")
    (folder / "table.txt").write_text("a.png\n")
    (folder / "craft.txt").write_text("how is tea made?")
    return folder


@dataclass(frozen=True)
class Reading(Judge):
    """Reads its rules in a file, a text and a list of files."""

    name = "reading"
    column = "read"
    not_in_key = ("log",)
    folder: Path
    file: Path | None = None
    text: str = ""
    files: tuple[Path, ...] = ()
    log: Path | None = None

    def __post_init__(self) -> None:
        rules = self.folder / "rules.txt"
        for name, value in (("file", rules), ("text", str(rules)), ("files", (self.folder / "craft.txt", rules))):
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        object.__setattr__(self, "log", self.folder / "table.txt")

    def reads(self) -> list[Path]:
        return [self.folder, self.file, Path(self.text), *self.files]  # type: ignore[list-item]

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [Score(self.name, 1.0) for _ in attempts]


class ReadingByName(Reading):
    def reads(self) -> list[Path]:
        return []


class ReadingOnce(Reading):
    """Keeps the first content that it saw of a file, whatever becomes of it."""

    seen: ClassVar[dict[Path, str]] = {}

    @property
    def key(self) -> str:
        place = Path(self.text)
        return key_of([super().key, self.seen.setdefault(place, "")])

    def reads(self) -> list[Path]:
        return [self.folder, *self.files]


class ReadingText(Reading):
    def reads(self) -> list[Path]:
        return [self.folder, self.file, *self.files]  # type: ignore[list-item]


class ReadingTheFirst(Reading):
    def reads(self) -> list[Path]:
        return [self.folder, self.file, Path(self.text), self.files[0]]  # type: ignore[list-item]


class Misspelt(Reading):
    not_in_key = ("lag",)


@dataclass(frozen=True)
class Album(Dataset):
    """Pictures that a table names, and a crafting split in a file of its own."""

    name = "album"
    licence = "CC0"
    root: Path

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for line in (self.root / "table.txt").read_text().splitlines():
            try:
                yield Sample(line, self.name, Chat.user(self.picture(line), "what is it?"))
            except ImageError as error:
                yield BadSample(line, self.name, str(error))

    def picture(self, named: str) -> Image:
        return picture_in(self.root, named)

    def crafting(self) -> Iterator[Sample]:
        yield Sample("c", self.name, Chat.user((self.root / "craft.txt").read_text()), split="craft")


class AlbumByName(Album):
    def reads(self) -> list[Path]:
        return []


class AlbumByTable(Album):
    def reads(self) -> list[Path]:
        return [self.root / "table.txt"]


class AlbumThroughLinks(Album):
    def picture(self, named: str) -> Image:
        if ".." in named:
            raise ImageError(f"{named}: leads out")
        return images.read(self.root / named)


class AlbumOfAnyName(Album):
    def picture(self, named: str) -> Image:
        if (self.root / named).is_symlink():
            raise ImageError(f"{named}: is a link")
        return images.read(self.root / named)
