"""What crafting bought, as it lies in a run folder: `artefacts/<key>.json`, its pictures beside it by their hash."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofglass.records.manifest import read_json, write_json
from proofglass.records.pictures import PictureFiles
from proofglass.records.schema import plain
from proofglass.types import Artefact, Cost

_FIX = (
    "delete it and the folders cells and sealed of this run and run the same command again: it is crafted anew, and "
    "what was asked about the same pictures is not asked again"
)


@dataclass(frozen=True)
class Crafted:
    """What one call of `craft` bought. key: empty where the attack has nothing to buy. Costs of the whole call."""

    key: str
    artefacts: tuple[Artefact, ...]
    seconds: float = 0.0
    peak_bytes: int = 0

    def of(self, sample_id: str) -> Artefact | None:
        """The artefact that serves this sample: its own, else the universal one."""
        own = (a for a in self.artefacts if a.sample_id == sample_id)
        universal = (a for a in self.artefacts if a.sample_id is None)
        return next(own, None) or next(universal, None)


class Crafts:
    """The artefacts and pictures in the folder `artefacts` of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pictures = folder, PictureFiles(folder)

    def path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def get(self, key: str) -> Crafted | None:
        """What was crafted under this key, its pictures read back from their PNG files; None if nothing was."""
        if not self.path(key).exists():
            return None
        told = self._told(key)
        artefacts = tuple(self._artefact(a) for a in told["artefacts"])
        return Crafted(key, artefacts, told["seconds"], told["peak_bytes"])

    def put(self, crafted: Crafted, origin: Mapping[str, Any]) -> None:
        """Keep artefacts and their pictures. origin: what the key was made of, JSON-able."""
        told = {**origin, "key": crafted.key, "seconds": crafted.seconds, "peak_bytes": crafted.peak_bytes}
        told["artefacts"] = [self._plain(artefact) for artefact in crafted.artefacts]
        write_json(self.path(crafted.key), told)

    def shas(self, key: str) -> set[str]:
        """The pictures that the artefacts of this key name."""
        return {sha for told in self._told(key)["artefacts"] for sha in _shas(told)}

    def _told(self, key: str) -> dict[str, Any]:
        return read_json(self.path(key), _FIX)

    def _plain(self, artefact: Artefact) -> dict[str, Any]:
        """JSON-able; its pictures are kept."""
        told = {
            "sample_id": artefact.sample_id,
            "images": [self.pictures.put(image) for image in artefact.images],
            "texts": list(artefact.texts),
            "clean": self.pictures.put(artefact.clean) if artefact.clean else None,
            "crafted_on": artefact.crafted_on,
            "cost": dataclasses.asdict(artefact.cost),
            "trace": plain(artefact.trace),
            "meta": dict(artefact.meta),
        }
        return told | ({"parts": [self._plain(part) for part in artefact.parts]} if artefact.parts else {})

    def _artefact(self, told: Mapping[str, Any]) -> Artefact:
        return Artefact(
            sample_id=told["sample_id"],
            images=tuple(self.pictures.get(sha) for sha in told["images"]),
            texts=tuple(told["texts"]),
            clean=self.pictures.get(told["clean"]) if told["clean"] else None,
            crafted_on=told["crafted_on"],
            cost=Cost(**told["cost"]),
            trace=told["trace"],
            meta=told["meta"],
            parts=tuple(self._artefact(part) for part in told.get("parts", ())),
        )


def _shas(told: Mapping[str, Any]) -> set[str]:
    own = {sha for sha in (*told["images"], told["clean"]) if sha}
    return own.union(*(_shas(part) for part in told.get("parts", ())))
