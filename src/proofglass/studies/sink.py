"""Where a cell leaves the pictures it makes and what it crafted: a run folder, or memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from proofglass.records.crafts import Crafted
from proofglass.types import Image


class Sink(Protocol):
    """What the executor writes to. `records.store.Store` is one: what comes back from it was read from its files."""

    def put_image(self, image: Image) -> str:
        """Keep `image`; returns its sha256. Raises ImageError if its pixels cannot be read."""

    def crafted(self, key: str) -> Crafted | None:
        """What was crafted under this key; None if nothing was."""

    def put_crafted(self, crafted: Crafted, origin: Mapping[str, Any]) -> None:
        """Keep what was crafted, with its pictures. origin: what the key was made of, JSON-able."""

    def drafts(self, key: str) -> Path | None:
        """Where the craft `key` keeps its checkpoints while it runs; None: nowhere."""

    def drop_drafts(self, key: str) -> None:
        """The craft `key` is bought: its checkpoints are of no more use."""

    @property
    def fits(self) -> Path:
        """The folder of what defenses learned about victims."""


class Memory:
    """A sink that lasts as long as the object: for a table, a task, a test. Pictures are the 8-bit ones that a file
    would hold; checkpoints are not kept."""

    def __init__(self) -> None:
        self.pictures: dict[str, Image] = {}
        self._crafted: dict[str, Crafted] = {}
        self._fits: TemporaryDirectory[str] | None = None

    def put_image(self, image: Image) -> str:
        image.array()
        self.pictures[image.sha256] = image
        return image.sha256

    def crafted(self, key: str) -> Crafted | None:
        return self._crafted.get(key)

    def put_crafted(self, crafted: Crafted, origin: Mapping[str, Any]) -> None:
        self._crafted[crafted.key] = crafted

    def drafts(self, key: str) -> Path | None:
        return None

    def drop_drafts(self, key: str) -> None:
        pass

    @property
    def fits(self) -> Path:
        self._fits = self._fits or TemporaryDirectory(prefix="proofglass-")
        return Path(self._fits.name)
