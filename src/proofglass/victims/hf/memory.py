"""Out of memory: told apart from other errors, and made room for."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from proofglass.meter import Meter

T = TypeVar("T")
R = TypeVar("R")

_SAYS = ("out of memory", "can't allocate memory", "not enough memory", "CUDA_ERROR_OUT_OF_MEMORY")


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that a device or the machine had too little memory."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in str(error) for words in _SAYS)


def free_memory() -> None:
    """Give back what a failed pass left behind."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Batches:
    """Work in batches. One that does not fit into memory is halved, and later ones are no larger.

    full: told so, in words, before the next try; it frees what it can.
    """

    def __init__(self, full: Callable[[str], None]) -> None:
        self.full = full
        self.fits: int | None = None

    def __call__(self, rows: Sequence[T], size: int, work: Callable[[Sequence[T]], R]) -> Iterator[R]:
        """What `work` makes of each batch, in order. Raises what it raises of one row alone."""
        at = 0
        while at < len(rows):
            part = rows[at : at + min(size, self.fits or size)]
            try:
                found = work(part)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or len(part) == 1:
                    raise
                self.fits = len(part) // 2
            else:
                yield found
                at += len(part)
                continue
            self.full(f"out of memory with {len(part)} rows in a batch: on with {self.fits}")


def free_bytes(device: torch.device) -> int:
    """Memory that a new tensor on `device` could take; on a CPU what the system calls available (Linux), else 4 GiB."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 4 << 30


def peak_bytes(device: torch.device, work: Callable[[], object]) -> int:
    """Most memory held while `work` ran: of the allocator on a GPU, of the process on a CPU (`Meter`)."""
    free_memory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device)
    with Meter() as meter:
        work()
    return meter.peak_bytes
