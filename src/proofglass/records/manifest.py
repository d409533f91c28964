"""The manifest of a run folder: what the folder says about itself, and how it goes on."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proofglass.errors import StoreError
from proofglass.records.checksums import is_intact, read_signed, signed
from proofglass.records.files import read_whole, write_whole
from proofglass.records.schema import OLDEST, SCHEMA_VERSION, utf8

_NAME = "manifest.json"
_TABLES = {"cells", "scores", "samples", "sealed", "added"}
_MINE = {_NAME, "journal.jsonl", "lock", "artefacts", "drafts", "faults", "labels"} | _TABLES
_BESIDE = {"report", "ledger"}
_LIMITED = re.compile(r"limit-\d+")
_FIX = "delete it and run the study into this folder again: what is measured there is kept"


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the run in the folder `path`. Raises StoreError if there is none, or one of a schema version that
    cannot be read."""
    file = path / _NAME
    if not file.exists():
        raise StoreError(f"{path}: holds no run (no manifest.json). `proofglass run STUDY --out {path}` makes one.")
    _check_version(path, read_whole(file))
    return read_json(file, _FIX)


def _check_version(path: Path, content: bytes) -> None:
    """Raises StoreError for a folder of another version. Looked at before the checksum, which version 1 did not have;
    a manifest that has one and does not fit it is damaged, whatever it says."""
    if b',"sha256":"' in content and not is_intact(content, _NAME):
        return
    try:
        manifest = json.loads(content)
        found = manifest["schema_version"]
        wrote = manifest.get("versions", {}).get("proofglass", "another version")
    except (ValueError, TypeError, KeyError, AttributeError):
        return
    if found not in range(OLDEST, SCHEMA_VERSION + 1):
        raise StoreError(
            f"{path}: holds records of schema version {found}, this Proofglass reads version {OLDEST} to "
            f"{SCHEMA_VERSION}. Read them with the Proofglass that wrote them ({wrote}), or run the study again into a "
            "new folder."
        )


def is_older(manifest: Mapping[str, Any]) -> bool:
    """Whether a run is of an older schema version: it can be read and reported, nothing is written into it."""
    return bool(manifest["schema_version"] < SCHEMA_VERSION)


def is_flat(manifest: Mapping[str, Any]) -> bool:
    """Whether a run is of schema version 2: flat records, no table of samples (`records.older`)."""
    return bool(manifest["schema_version"] == 2)


def check_writable(path: Path, manifest: Mapping[str, Any]) -> None:
    """Raises StoreError if the run in the folder `path` is of an older schema version."""
    if is_older(manifest):
        wrote = manifest.get("versions", {}).get("proofglass", "another version")
        raise StoreError(
            f"{path}: holds a run of schema version {manifest['schema_version']}, which can be reported. This "
            f"Proofglass writes version {SCHEMA_VERSION} and mixes no two: run the study into a new folder with --out, "
            f"or go on here with the Proofglass that began it ({wrote})."
        )


def check_ours(path: Path) -> None:
    """Raises StoreError if a run may not go to the folder `path`."""
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path}: is a file. Name a folder for the run, new or empty.")
    if path.is_dir() and not (path / _NAME).exists():
        mine = _MINE | (_BESIDE if (path / "journal.jsonl").exists() else set())  # its manifest was lost
        names = {p.name for p in path.iterdir() if not p.name.startswith(_NAME)} - mine
        foreign = sorted(name for name in names if not _LIMITED.fullmatch(name))
        if foreign:
            raise StoreError(f"{path}: holds {foreign[0]!r} but no run. Name a folder that is new or empty.")


def run_id(path: Path) -> str:
    """The id of the run in the folder `path`: the same whenever it goes on, and for its runs of a limit; a new one
    where no run is yet."""
    files = (path / "manifest.json", *sorted(path.glob("limit-*/manifest.json")))
    known = (read_manifest(file.parent).get("run") for file in files if file.exists())
    return next(filter(None, known), None) or uuid.uuid4().hex


def check_study(path: Path, now: Mapping[str, Any]) -> None:
    """Raises StoreError if the folder `path`, or a run of a limit in it, holds another study than `now`, or `path` is
    itself that of a limit, which holds neither a full run nor those of other limits."""
    if (path / _NAME).exists() and (before := read_manifest(path)).get("beside"):
        limit = now["limit"] or before["limit"]
        raise StoreError(
            f"{path}: holds the run of the first {before['limit']} samples. Go on with it by --out {path.parent} "
            f"--limit {limit}, or name another folder with --out."
        )
    for file in (path / "manifest.json", *sorted(path.glob("limit-*/manifest.json"))):
        if not file.exists():
            continue
        before = read_manifest(file.parent)
        if (name := before["name"]) != now["name"]:
            raise StoreError(
                f"{file.parent}: holds the study {name!r}, not {now['name']!r}. Name another folder with --out."
            )
        check_writable(file.parent, before)


def continued(before: dict[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a run that goes on: first start and judges added since stay."""
    merged = with_judges(before, now["plugs"]["judges"], now["success"])
    plugs = {**now["plugs"], "judges": merged["plugs"]["judges"]}
    return {**now, "started": before["started"], "judges": merged["judges"], "plugs": plugs}


def with_judges(manifest: Mapping[str, Any], judges: Mapping[str, Any], success: str) -> dict[str, Any]:
    """`manifest` with `judges` (label -> description) in front of those it has. Raises StoreError for a label under
    which scores were added: they would pass for what the judge says."""
    known = manifest["plugs"]["judges"]
    if taken := next((label for label in judges if known.get(label, {}).get("added")), ""):
        raise StoreError(f"judges: scores were added to this run as {taken!r}; give the judge a `label:` of its own.")
    every = {**judges, **{k: v for k, v in known.items() if k not in judges}}
    plugs = {**manifest["plugs"], "judges": every}
    return {**manifest, "plugs": plugs, "judges": list(every), "success": success}


def read_json(path: Path, fix: str) -> dict[str, Any]:
    """A JSON file that `write_json` made. Raises StoreError if it cannot be read or is damaged; fix: how to go on."""
    told: dict[str, Any] = json.loads(read_signed(path, fix))
    del told["sha256"]
    return told


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value`, an object with at least one field, as a JSON file that ends with its own checksum. Raises
    StoreError if that cannot be done."""
    write_whole(path, signed(utf8(json.dumps(value, indent=1, ensure_ascii=False)).encode(), path.name))
