"""Files that are whole or absent: temporary file, fsync, rename. Disk trouble becomes one clear line."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from proofglass.errors import StoreError, remedy

TEMPORARY = ".writing"

_CAUSES = {
    errno.EACCES: "no permission to write here. Choose another folder with --out, or change its permissions",
    errno.EPERM: "no permission to write here. Choose another folder with --out, or change its permissions",
}


@contextlib.contextmanager
def guarded(path: Path, doing: Literal["read", "write"] = "write") -> Iterator[None]:
    """Turns an OSError on `path` into a StoreError that names the file, the cause and the fix."""
    try:
        yield
    except OSError as error:
        if doing == "read":
            raise unreadable(path, error) from error
        cause = remedy(error) or _CAUSES.get(error.errno or 0, error.strerror or str(error))
        raise StoreError(f"{path}: cannot write: {cause}. What the run folder held before is intact.") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` so that a reader, at any moment and after any crash, sees the old file or the new one.

    Raises StoreError if the disk is full or the folder cannot be written; no partial file is left.
    """
    with appearing(path) as temporary, open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A temporary file to write and sync, which then takes the place of `path`; no trace of it is left on an error.
    Raises StoreError as `write_whole` does."""
    temporary = path.with_name(path.name + TEMPORARY)
    with guarded(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def read_whole(path: Path) -> bytes:
    """The content of a file of the run folder. Raises StoreError if it cannot be read."""
    with guarded(path, "read"):
        return path.read_bytes()


def unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: cannot be read: {error.strerror or error}. Restore it from a copy.")


def _sync_folder(folder: Path) -> None:
    """Makes a rename itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep_temporaries(folder: Path) -> None:
    """Remove what a killed writer left half written. Only the holder of the lock may call this."""
    with guarded(folder):
        for path in folder.rglob(f"*{TEMPORARY}"):
            path.unlink(missing_ok=True)


def unlink(path: Path) -> None:
    """Delete a file. Raises StoreError if that is not allowed."""
    with guarded(path):
        path.unlink(missing_ok=True)
