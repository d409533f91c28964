"""Seconds and peak memory of a stretch of work."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path


class Meter:
    """`with Meter() as meter: ...`, then `meter.seconds` (wall) and `meter.peak_bytes`.

    peak_bytes: the most resident memory that the process held meanwhile; where the system cannot start that
    count anew (not Linux), the most since the process began.
    """

    seconds = 0.0
    peak_bytes = 0

    def __enter__(self) -> Meter:
        with contextlib.suppress(OSError):  # the count then runs since the start of the process
            Path("/proc/self/clear_refs").write_text("5")
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        self.peak_bytes = _peak()


def _peak() -> int:
    with contextlib.suppress(OSError):  # no /proc outside Linux
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
