"""Writing tables and pictures of miniatures, and changing them again, whatever their layout."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image as Pillow

from proofglass import images
from proofglass.types import Image

Maker = Callable[[Path], dict[str, Any]]
Rows = list[dict[str, Any]]
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def shown(seed: int) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (6, 7, 3), dtype=np.uint8))


def draw(path: Path, seed: int) -> None:
    """A picture under this name: a PNG file, whatever the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(images.encode(shown(seed)))


def as_webp(path: Path) -> None:
    """The same picture, as the WebP file that some benchmarks call .png."""
    pixels = images.read(path).array()
    path.write_bytes(b"")
    Pillow.fromarray(pixels).save(path, "WEBP", lossless=True)


def write(path: Path, told: Any) -> Path:
    """`told` as a table of the layout that the name of `path` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pl.DataFrame(told, infer_schema_length=None, strict=False).write_parquet(path)
    elif path.suffix in (".csv", ".tsv"):
        text = io.StringIO()
        names = list(told[0]) if told else ["nothing"]
        writer = csv.DictWriter(text, names, delimiter="," if path.suffix == ".csv" else "\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(told)
        path.write_text(text.getvalue(), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(_json(told, indent=1), encoding="utf-8")
    else:
        path.write_text("".join(_json(row) + "\n" for row in told), encoding="utf-8")
    return path


def _json(told: Any, **how: Any) -> str:
    text = json.dumps(told, ensure_ascii=False, **how)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character: as an escape it is JSON all the same
        return json.dumps(told, **how)
    return text


def told_in(path: Path) -> Any:
    """What a table holds, as `write` takes it."""
    if path.suffix == ".parquet":
        return pl.read_parquet(path).to_dicts()
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix in (".csv", ".tsv"):
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="," if path.suffix == ".csv" else "\t"))
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def rows_in(told: Any) -> Rows:
    """The rows of what a table holds, which are changed with it: of an object its values, or what these list."""
    values = list(told.values()) if isinstance(told, dict) else told
    return [row for value in values for row in (value if isinstance(value, list) else [value]) if isinstance(row, dict)]


def tables_of(data: Any) -> list[Path]:
    """The tables that a data set reads."""
    return [path for path in data.reads() if path.suffix in TABLES and path.is_file()]


def pictures_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.casefold() in PICTURES)


def places(row: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a row, those inside others too."""
    inner: Sequence[tuple[Any, Any]] = ()
    if isinstance(row, dict):
        inner = list(row.items())
    elif isinstance(row, list):
        inner = list(enumerate(row))
    for key, value in inner:
        yield (*way, key)
        yield from places(value, (*way, key))


def put(row: Any, way: tuple[Any, ...], value: Any) -> None:
    for key in way[:-1]:
        row = row[key]
    row[way[-1]] = value
