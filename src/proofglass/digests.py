"""Sha256 of files and folders: what the keys of plugs hold of the files that they read.

A digest is remembered for this process as long as the file's size, times and place on the disk stay the same, so that
asking for a key again costs a look at the folder and no reading.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

from proofglass.errors import UsageError, is_environment

# A file that changed so lately may change again within one tick of the disk's clock: it is read again, not remembered.
SETTLED_NS = 2 * 10**9

_State = tuple[int, int, int, int, int]  # device, inode, size in bytes, times of the last writing and change in ns
_known: dict[_State, str] = {}


def digest_of(path: Path) -> str:
    """Sha256 (hex) of a file, or over names and contents of all files below a folder.

    Of a folder, hidden files and folders (.git, .DS_Store) are left out, links to other folders count by where they
    lead, and what is no file (a pipe, a device) by its name. Raises UsageError for what is not there or cannot be read.
    """
    path = path.expanduser()
    try:
        return _of_folder(path) if path.is_dir() else _of_file(path)
    except (OSError, ValueError) as error:
        if is_environment(error):
            raise
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _of_file(path: Path) -> str:
    state = _state(os.stat(path))
    if state not in _known:
        if not path.is_file():  # opening a pipe that nobody writes to would wait for ever
            raise ValueError("expected a file or a folder")
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            found = hashlib.file_digest(file, "sha256").hexdigest()
            after = os.fstat(file.fileno())
        settled = time.time_ns() - max(before.st_mtime_ns, before.st_ctime_ns) > SETTLED_NS
        if not (settled and _state(before) == _state(after) == state):
            return found
        _known[state] = found
    return _known[state]


def _of_folder(folder: Path) -> str:
    found = {}
    for root, folders, files in os.walk(folder, onerror=_raised):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (*folders, *files):
            path = Path(root, name)
            if path.is_symlink() and path.is_dir():
                told = os.readlink(path)
            elif path.is_dir() or name.startswith("."):
                continue
            else:
                told = _of_file(path) if path.is_file() else ""
            found[path.relative_to(folder).as_posix()] = told
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _raised(error: OSError) -> None:
    raise error


def _state(found: os.stat_result) -> _State:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
