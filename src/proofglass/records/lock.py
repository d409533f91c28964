"""One writer per run folder. The system frees the lock when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from proofglass.errors import StoreError
from proofglass.records.files import guarded


class Lock:
    """Held from construction until `release`. Raises StoreError, naming the holder, if it is taken."""

    def __init__(self, folder: Path) -> None:
        path = folder / "lock"
        with guarded(path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise StoreError(
                f"{folder}: another process (pid {holder}) writes to this run. "
                "Wait until it ends or stop it, then run the same command again."
            ) from None
        with guarded(path):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        os.close(self._file)  # closing frees the lock
