"""Pictures with what is known of them: what a model is told that drafts questions about them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofglass import images
from proofglass.errors import ImageError, UsageError, is_environment
from proofglass.evaluation.datasets.reading import picture_in, text_of
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Image, Sample


@dataclass(frozen=True)
class Thing:
    """Something in a picture. box: left, top, width, height in pixels."""

    name: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Scene:
    """A picture. captions, things: what its data set says of it, maybe nothing."""

    id: str
    image: Image
    captions: tuple[str, ...] = ()
    things: tuple[Thing, ...] = ()

    def told(self) -> str:
        """What is known of it, a line each: captions, then things with their boxes."""
        lines = [*self.captions]
        lines += [f"{thing.name} at {', '.join(f'{side:.0f}' for side in thing.box)}" for thing in self.things]
        return "\n".join(lines)


def in_folder(folder: Path) -> Iterator[Scene | BadSample]:
    """Every picture below `folder`, in the order of its path. Raises UsageError if there is no such folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and not each.name.startswith(".")):
        yield _scene(path.relative_to(folder).as_posix(), folder)


def in_coco(pictures: Path, annotations: Path) -> Iterator[Scene | BadSample]:
    """COCO's layout: pictures in one folder, `instances_*.json` (images, annotations with bbox, categories) and
    `captions_*.json` in another. Pictures in the order of their ids; those without both are told with what there is.
    Raises UsageError for a folder without such files, and for one that cannot be read."""
    files = [*sorted(annotations.glob("instances_*.json")), *sorted(annotations.glob("captions_*.json"))]
    if not files:
        raise UsageError(f"{annotations}: no instances_*.json and no captions_*.json")
    names: dict[int, str] = {}
    captions: dict[int, list[str]] = {}
    things: dict[int, list[Thing]] = {}
    for path in files:
        told = _coco(path)
        try:
            names |= {each["id"]: str(each["file_name"]) for each in told["images"]}
            kinds = {each["id"]: str(each["name"]) for each in told.get("categories", [])}
            for each in told["annotations"]:
                if "caption" in each:
                    captions.setdefault(each["image_id"], []).append(" ".join(str(each["caption"]).split()))
                else:
                    left, top, width, height = map(float, each["bbox"])
                    thing = Thing(kinds[each["category_id"]], (left, top, width, height))
                    things.setdefault(each["image_id"], []).append(thing)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}: not COCO's layout: {type(error).__name__}: {error}") from error
    for number, name in sorted(names.items()):
        yield _scene(name, pictures, tuple(captions.get(number, ())), tuple(things.get(number, ())))


def of_dataset(dataset: Dataset) -> Iterator[Scene | BadSample]:
    """The first picture of every sample of a data set, each once; a description in `meta` is its caption."""
    seen: set[str] = set()
    for row in dataset:
        if isinstance(row, BadSample):
            yield row
        elif row.chat.images and row.chat.images[0].sha256 not in seen:
            seen.add(row.chat.images[0].sha256)
            yield Scene(row.id, row.chat.images[0], _described(row))


def _described(sample: Sample) -> tuple[str, ...]:
    text = sample.meta.get("description")
    return (text,) if isinstance(text, str) and text.strip() else ()


def _scene(
    name: str, folder: Path, captions: tuple[str, ...] = (), things: tuple[Thing, ...] = ()
) -> Scene | BadSample:
    try:
        return Scene(name, picture_in(folder, name), captions, things)
    except ImageError as error:
        if is_environment(error):
            raise
        return BadSample(name, "scenes", str(error))


def _coco(path: Path) -> Mapping[str, Any]:
    try:
        told = json.loads(text_of(path))
    except ValueError as error:
        raise UsageError(f"{path}: expected JSON: {error}") from error
    if not isinstance(told, dict):
        raise UsageError(f"{path}: not COCO's layout: expected an object, found a {type(told).__name__}")
    return told


def kept(scene: Scene, folder: Path) -> str:
    """Write the scene's picture as PNG into `folder`, once; its name there."""
    name = f"{scene.image.sha256[:16]}.png"
    if not (folder / name).exists():
        images.write(scene.image, folder / name)
    return name
