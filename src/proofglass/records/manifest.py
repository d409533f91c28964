"""The manifest of a run folder: what the folder says about itself, and how it goes on."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proofglass.errors import StoreError
from proofglass.records.schema import SCHEMA_VERSION, utf8


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the run in the folder `path`. Raises StoreError if there is none of this schema version."""
    file = path / "manifest.json"
    if not file.exists():
        raise StoreError(f"{path}: holds no run (no manifest.json). `proofglass run STUDY --out {path}` makes one.")
    manifest = read_json(file)
    found = manifest.get("schema_version")
    if found != SCHEMA_VERSION:
        wrote = manifest.get("versions", {}).get("proofglass", "another version")
        raise StoreError(
            f"{path}: holds records of schema version {found}, this Proofglass reads version {SCHEMA_VERSION}. "
            f"Read them with the Proofglass that wrote them ({wrote}), or run the study again into a new folder."
        )
    return manifest


def run_id(path: Path) -> str:
    """The id of the run in the folder `path`: the same whenever it goes on; a new one where no run is yet."""
    file = path / "manifest.json"
    return (read_json(file).get("run") if file.exists() else None) or uuid.uuid4().hex


def continued(path: Path, before: dict[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a run that goes on: first start and judges added since stay."""
    if before["name"] != now["name"]:
        raise StoreError(
            f"{path}: holds the study {before['name']!r}, not {now['name']!r}. Name another folder with --out."
        )
    merged = with_judges(before, now["plugs"]["judges"], now["success"])
    plugs = {**now["plugs"], "judges": merged["plugs"]["judges"]}
    return {**now, "started": before["started"], "judges": merged["judges"], "plugs": plugs}


def with_judges(manifest: Mapping[str, Any], judges: Mapping[str, Any], success: str) -> dict[str, Any]:
    """`manifest` with `judges` (label -> description) in front of those it has."""
    every = {**judges, **{k: v for k, v in manifest["plugs"]["judges"].items() if k not in judges}}
    plugs = {**manifest["plugs"], "judges": every}
    return {**manifest, "plugs": plugs, "judges": list(every), "success": success}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of the run folder. Raises StoreError if it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}). Restore it from a copy.") from error


def json_bytes(value: Any) -> bytes:
    """`value` as the bytes of a JSON file."""
    return utf8(json.dumps(value, indent=1, ensure_ascii=False)).encode() + b"\n"
