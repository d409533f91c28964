"""One event loop in a thread of its own: the study is synchronous, requests are not.

All API victims of a process share it, so ledgers and limits are touched by one thread only and connections stay open
from one batch to the next. It also works where the caller already runs in a loop (a notebook).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_starting = threading.Lock()
_running: tuple[int, asyncio.AbstractEventLoop] | None = None


def run(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises. Ctrl-C in the caller cancels it, and what it sent is let go."""
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def start(work: Coroutine[Any, Any, Any]) -> None:
    """Let `work` run; nobody waits for it."""
    asyncio.run_coroutine_threadsafe(work, _loop())


def _loop() -> asyncio.AbstractEventLoop:
    global _running
    with _starting:
        if _running is None or _running[0] != os.getpid():  # a forked child has the loop but not its thread
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="proofglass-api", daemon=True).start()
            _running = os.getpid(), loop
        return _running[1]
