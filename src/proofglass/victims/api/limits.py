"""How fast a victim may ask: requests and tokens per minute, and how long to wait before the next attempt."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

WINDOW_S = 60.0


@dataclass
class Turn:
    """One request in the window. at: seconds on the clock; tokens: estimated, then as the API counted them."""

    at: float
    tokens: int


class Pace:
    """At most `requests` and `tokens` in any 60 seconds; None: no limit. First come, first served.

    Tokens are counted as estimated when a request starts and corrected by `settle`. A request that alone exceeds the
    limit of tokens goes when the window is empty: it cannot be made smaller.
    clock, sleep: replaced in tests.
    """

    def __init__(
        self,
        requests: int | None = None,
        tokens: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.requests, self.tokens = requests, tokens
        self._clock, self._sleep = clock, sleep
        self._recent: deque[Turn] = deque()
        self._line = asyncio.Lock()

    async def turn(self, tokens: int) -> Turn:
        """Waits until a request of so many tokens may start."""
        if self.requests is None and self.tokens is None:
            return Turn(0.0, tokens)
        async with self._line:
            while (wait := self._wait(tokens)) > 0:
                await self._sleep(wait)
            turn = Turn(self._clock(), tokens)
            self._recent.append(turn)
            return turn

    @staticmethod
    def settle(turn: Turn, tokens: int) -> None:
        """The request took so many tokens."""
        turn.tokens = tokens

    def _wait(self, tokens: int) -> float:
        """Seconds until a request of so many tokens fits; 0 or less: now."""
        now = self._clock()
        while self._recent and self._recent[0].at + WINDOW_S <= now:
            self._recent.popleft()
        wait = 0.0
        if self.requests is not None and len(self._recent) >= self.requests:
            wait = self._recent[len(self._recent) - self.requests].at + WINDOW_S - now
        if self.tokens is not None:
            over = sum(turn.tokens for turn in self._recent) + tokens - self.tokens
            for turn in self._recent:
                if over <= 0:
                    break
                over -= turn.tokens
                wait = max(wait, turn.at + WINDOW_S - now)
        return wait


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with full jitter: a wait drawn from 0 to `base_s` x 2^tries, at most `cap_s`.

    Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """

    base_s: float = 1.0
    cap_s: float = 60.0

    def wait(self, tries: int, retry_after: float | None, draw: float) -> float:
        """Seconds before attempt `tries` + 1. draw: uniform in [0, 1).

        retry_after: what the server asked for. It is honoured in full, and up to `base_s` is added, so that many
        clients do not come back in the same instant.
        """
        if retry_after is not None:
            return retry_after + draw * self.base_s
        return draw * min(self.cap_s, self.base_s * 2.0 ** (tries - 1))
