"""What a plug that reads files promises. Everything is tried on copies: a user's own files are never touched."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from proofglass import images
from proofglass.errors import ImageError
from proofglass.interfaces import Dataset, Plug, key_of
from proofglass.types import Image, Sample

WHOLE = 16 * 2**20  # bytes: a larger file is edited in one place only
LOOKED_AT = 100  # files of a folder, in the order of their names
PACKED = (b"PK\x03\x04", b"PAR1")  # how zip and Parquet files begin


def key_follows_its_files(plug: Plug) -> None:
    """Another content of a file that a field names is another key, unless `not_in_key` says that it changes no result.

    A field names a file as a path, as a text that is one, or as "name:PATH". Of a folder, an edit of some file must be
    noticed; of a data set's folder, no file may change its crafting split under the same key. (Judged samples are in
    the key of every cell by themselves: what changes one of them is noticed.) An edited file that the plug then refuses
    is noticed, too.
    """
    unknown = set(plug.not_in_key) - {f.name for f in dataclasses.fields(plug)}  # type: ignore[arg-type]
    assert not unknown, f"not_in_key: {', '.join(sorted(unknown))}: no such field"
    for field, place, put in places_of(plug):
        with TemporaryDirectory() as folder:
            copy = _copied(place, Path(folder) / "copy")
            rebuilt = partial(put, copy)
            if copy.is_dir():
                _check_folder(field, copy, rebuilt)
            else:
                before = rebuilt().key
                _edit(copy)
                assert _key(rebuilt) != before, f"{field}: an edit of {place.name} leaves the key as it was"


def refuses_pictures_outside(data: Dataset) -> None:
    """No sample shows a picture from outside of the data set's folder: neither through a link that lies in the place of
    one of its pictures, nor through a name in a table that leads there. A row that names one costs itself."""
    stranger = Image.from_array(np.random.default_rng(9).integers(0, 256, (6, 5, 3), dtype=np.uint8))
    for field, place, put in places_of(data):
        for lay in (_link_pictures, _rename_pictures):
            with TemporaryDirectory() as folder:
                outside = Path(folder) / "outside"
                images.write(stranger, outside / "stranger.png")
                copy = _copied(place, Path(folder) / "data")
                if not copy.is_dir() or not lay(copy, outside / "stranger.png"):
                    continue
                for row in put(copy):
                    shown = row.chat.images if isinstance(row, Sample) else ()
                    assert stranger not in shown, f"{field}: {row.id} shows a picture from outside of the folder"


def places_of(plug: Plug) -> Iterator[tuple[str, Path, Callable[[Path], Any]]]:
    """(field, file or folder that it names, the plug with another place there), for fields that decide and places that
    are there."""
    for field in dataclasses.fields(plug):  # type: ignore[arg-type]
        value = getattr(plug, field.name)
        if not field.init or field.name in plug.not_in_key:
            continue
        several = isinstance(value, (list, tuple))
        for k, each in enumerate(value if several else (value,)):
            if (found := _named(each)) is not None:
                place, again = found
                yield field.name, place, partial(_replaced, plug, field.name, k if several else None, again)


def _replaced(plug: Any, field: str, k: int | None, again: Callable[[Path], Any], place: Path) -> Any:
    """`plug` with `place` in its field, or as the k-th of its places there."""
    value = again(place)
    if k is not None:
        old = getattr(plug, field)
        value = type(old)([*old[:k], value, *old[k + 1 :]])
    return dataclasses.replace(plug, **{field: value})


def _named(value: Any) -> tuple[Path, Callable[[Path], Any]] | None:
    """The place that a value names, and how it names another one; None for a value that names none."""
    if isinstance(value, Path) and value.exists():
        return value, Path
    if isinstance(value, str):
        name, colon, rest = value.partition(":")
        if _is_there(value):
            return Path(value).expanduser(), str
        if colon and _is_there(rest):
            return Path(rest).expanduser(), lambda place: f"{name}:{place}"
    return None


def _is_there(text: str) -> bool:
    """Whether a text is the path of something; a mere word is a name, whatever lies in this folder."""
    try:
        return (os.sep in text or "." in text) and Path(text).expanduser().exists()
    except (OSError, ValueError):
        return False


def _check_folder(field: str, folder: Path, rebuilt: Callable[[], Any]) -> None:
    before, crafting, judged = _key(rebuilt), _crafting(rebuilt), _judged(rebuilt)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    noticed = False
    for path in files[:LOOKED_AT]:
        kept = folder.parent / "kept"
        shutil.copyfile(path, kept)
        _edit(path)
        changed = _key(rebuilt) != before
        noticed = noticed or changed or _judged(rebuilt) != judged
        assert changed or _crafting(rebuilt) == crafting, (
            f"{field}: an edit of {path.relative_to(folder)} changes the crafting split and leaves the key as it was"
        )
        os.replace(kept, path)
    assert noticed or not files, f"{field}: no edit of a file in {folder.name} changes the key, or a judged sample"


def _key(rebuilt: Callable[[], Any]) -> str:
    try:
        key: str = rebuilt().key
        return key
    except Exception as error:
        return f"refused: {type(error).__name__}"


def _crafting(rebuilt: Callable[[], Any]) -> Any:
    try:
        plug = rebuilt()
        return [key_of(sample) for sample in plug.crafting()] if isinstance(plug, Dataset) else None
    except Exception as error:
        return f"refused: {type(error).__name__}"


def _judged(rebuilt: Callable[[], Any]) -> Any:
    try:
        plug = rebuilt()
        return [key_of(row) for row in plug] if isinstance(plug, Dataset) else None
    except Exception as error:
        return f"refused: {type(error).__name__}"


def _copied(place: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / place.name
    if place.is_dir():
        shutil.copytree(place, copy, ignore=shutil.ignore_patterns(".*"), copy_function=_linked)
    else:
        _linked(place, copy)
    return copy


def _linked(source: Path | str, target: Path | str) -> Path | str:
    """A copy without the bytes where the disk allows it: an edit puts another file in its place."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
    return target


def _edit(path: Path) -> None:
    """Every letter of a text becomes the next one; something without letters, or large, changes in one byte."""
    data = path.read_bytes()
    edited = bytes(_NEXT[byte] for byte in data) if len(data) <= WHOLE else data
    if edited == data:
        middle = len(data) // 2
        edited = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else b"x"
    draft = path.with_name(f".{path.name}.edited")
    draft.write_bytes(edited)
    os.replace(draft, path)


def _next(byte: int) -> int:
    first = ord("a") if chr(byte).islower() else ord("A")
    return first + (byte - first + 1) % 26 if byte < 128 and chr(byte).isalpha() else byte


_NEXT = [_next(byte) for byte in range(256)]


def _pictures_in(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.rglob("*")):
        try:
            images.read(path)
        except ImageError:
            continue
        found.append(path)
    return found[:LOOKED_AT]


def _link_pictures(folder: Path, outside: Path) -> bool:
    """Put links that lead out in the place of all pictures."""
    found = _pictures_in(folder)
    for path in found:
        path.unlink()
        path.symlink_to(outside)
    return bool(found)


def _rename_pictures(folder: Path, outside: Path) -> bool:
    """Write names that lead out into every table in the place of the names of pictures."""
    renamed = False
    pictures = _pictures_in(folder)
    for table in sorted(path for path in folder.rglob("*") if path.is_file() and path not in pictures):
        text = table.read_bytes()
        if text.startswith(PACKED):  # another text in it makes it no archive, and tells nothing
            continue
        for path in pictures:
            way = os.path.relpath(outside, path.parent).encode()
            text = text.replace(path.name.encode(), way)
        if text != table.read_bytes():
            renamed = True
            table.unlink()  # it may be a link to the user's own
            table.write_bytes(text)
    return renamed
