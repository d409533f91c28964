"""Who watches a long optimisation. The runner sets a watcher; attacks and `minimise` know nothing of terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Called with (step done, steps in all, mean loss).
Watcher = Callable[[int, int, float], None]
_watcher: ContextVar[Watcher | None] = ContextVar("proofglass_watcher", default=None)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Every `minimise` inside reports its steps to `watcher`."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def report(step: int, steps: int, loss: float) -> None:
    watcher = _watcher.get()
    if watcher is not None:
        watcher(step, steps, loss)
