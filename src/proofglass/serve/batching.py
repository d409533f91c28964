"""Asks of many callers, answered together by one thread: a victim is not thread-safe, and likes batches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from proofglass.interfaces import Victim
from proofglass.serve.limits import Limits
from proofglass.serve.problems import Problem, stopping
from proofglass.types import Ask, Reply

_log = logging.getLogger("proofglass.serve")


@dataclass(eq=False)
class _Ticket:
    """One ask that waits. since: when it came, in seconds of the loop's clock."""

    ask: Ask
    reply: asyncio.Future[Reply]
    since: float


@dataclass(eq=False)
class _Job:
    asks: list[Ask]
    replies: asyncio.Future[list[Reply]]


class Batcher:
    """Collects asks for `limits.window_s`, at most `limits.batch`, and has one thread answer them, first come first.

    Used within one event loop. A caller that stops waiting gives its place up: an ask that has not begun is never
    asked; of one that is being answered only the reply is dropped, since a forward pass cannot be called back.
    """

    def __init__(self, victim: Victim, limits: Limits) -> None:
        self._victim, self._limits = victim, limits
        self._waiting: deque[_Ticket] = deque()
        self._grown = asyncio.Event()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._busy_since: float | None = None
        self._open = False
        self.held = 0

    @contextlib.contextmanager
    def seat(self) -> Iterator[None]:
        """A place among those whom the server holds at once. Raises Problem 429 when all are taken."""
        if self.held >= self._limits.queue:
            raise Problem(
                429,
                f"{self.held} requests are being held, the most that this server takes; try again",
                kind="rate_limit_error",
                code="queue_full",
                headers={"Retry-After": "1"},
            )
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1

    async def answer(self, ask: Ask) -> Reply:
        """The reply to `ask`. Raises Problem 503 while the server stops."""
        if not self._open:
            raise stopping()
        loop = asyncio.get_running_loop()
        ticket = _Ticket(ask, loop.create_future(), loop.time())
        self._waiting.append(ticket)
        self._grown.set()
        try:
            return await ticket.reply
        finally:
            with contextlib.suppress(ValueError):  # it was taken
                self._waiting.remove(ticket)

    def stuck(self) -> bool:
        """Whether one batch has been running for longer than any caller waits."""
        if self._busy_since is None:
            return False
        return asyncio.get_running_loop().time() - self._busy_since > self._limits.deadline_s

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Asks are answered within; at the end those still waiting are told that the server stops."""
        # A daemon: a second Ctrl-C is not to wait for a model that is in the middle of something.
        thread = threading.Thread(target=self._work, name="victim", daemon=True)
        thread.start()
        collector = asyncio.create_task(self._collect())
        self._open = True
        try:
            yield
        finally:
            self._open = False
            collector.cancel()
            self._jobs.put(None)
            _turn_away(self._waiting)

    async def _collect(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next_batch()
            if not batch:
                continue
            job = _Job([ticket.ask for ticket in batch], loop.create_future())
            self._busy_since = loop.time()
            self._jobs.put(job)
            try:
                replies = await job.replies
            except asyncio.CancelledError:
                _turn_away(batch)
                raise
            self._busy_since = None
            for ticket, reply in zip(batch, replies, strict=True):
                if not ticket.reply.done():  # its caller still waits
                    ticket.reply.set_result(reply)

    async def _next_batch(self) -> list[_Ticket]:
        """The asks that go together next; none if all who waited have gone."""
        loop = asyncio.get_running_loop()
        while not self._waiting:
            self._grown.clear()
            await self._grown.wait()
        until = self._waiting[0].since + self._limits.window_s
        while 0 < len(self._waiting) < self._limits.batch and (left := until - loop.time()) > 0:
            self._grown.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._grown.wait()
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._limits.batch))]

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            replies = answers(self._victim, job.asks)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                job.replies.get_loop().call_soon_threadsafe(_settle, job.replies, replies)


def answers(victim: Victim, asks: Sequence[Ask]) -> list[Reply]:
    """One reply per ask, whatever the victim does: a batch that fails as a whole is asked again in halves, so that
    an ask that fails costs itself, and a batch too large for the memory becomes small enough."""
    try:
        replies = list(victim.reply(asks))
        if len(replies) == len(asks):
            return replies
        reason = f"{len(asks)} asks, {len(replies)} replies"
    except BaseException as error:  # SystemExit too: this thread serves everyone
        reason = f"{type(error).__name__}: {error}"
        failed = type(error).__name__
    else:
        failed = "wrong number of replies"
    if len(asks) == 1:
        return [Reply.error(reason)]
    _log.warning("a batch of %d failed (%s): asked again in halves", len(asks), failed)
    middle = len(asks) // 2
    return answers(victim, asks[:middle]) + answers(victim, asks[middle:])


def _settle(replies: asyncio.Future[list[Reply]], value: list[Reply]) -> None:
    if not replies.done():
        replies.set_result(value)


def _turn_away(tickets: Iterable[_Ticket]) -> None:
    for ticket in tickets:
        if not ticket.reply.done():
            ticket.reply.set_exception(stopping())
