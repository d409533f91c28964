"""Who watches a long optimisation. The runner sets a watcher; attacks and `minimise` know nothing of terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Where an optimisation stands. step: done, of `steps`; loss: mean over pictures; succeeded: pictures known to
    have succeeded, of `pictures` (None: the attack does not check while it runs); per_second: steps."""

    step: int
    steps: int
    loss: float
    pictures: int = 1
    succeeded: int | None = None
    per_second: float = 0.0

    @property
    def seconds_left(self) -> float | None:
        return (self.steps - self.step) / self.per_second if self.per_second > 0 else None


Watcher = Callable[[Pace], None]
_watcher: ContextVar[Watcher | None] = ContextVar("proofglass_watcher", default=None)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Every `minimise` inside reports its steps to `watcher`."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def report(pace: Pace) -> None:
    watcher = _watcher.get()
    if watcher is not None:
        watcher(pace)
