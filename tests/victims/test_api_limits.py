"""Pace and backoff of the API victim."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from proofglass.victims.api.limits import WINDOW_S, Backoff, Pace


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def starts(pace: Pace, clock: Clock, sizes: list[int]) -> list[float]:
    """When requests of these sizes, all ready at once, may start."""

    async def all_of_them() -> list[float]:
        async def one(size: int) -> float:
            await pace.turn(size)
            return clock()

        return await asyncio.gather(*map(one, sizes))

    return asyncio.run(all_of_them())


@given(st.integers(1, 9), st.integers(1, 50))
def test_no_window_of_a_minute_has_more_requests_than_allowed_and_no_time_is_wasted(limit: int, count: int) -> None:
    clock = Clock()
    times = starts(Pace(requests=limit, clock=clock, sleep=clock.sleep), clock, [1] * count)
    # All are ready at once, so they leave in bursts of `limit`, a minute apart.
    assert times == [1000.0 + WINDOW_S * (k // limit) for k in range(count)]


@given(st.integers(10, 100), st.lists(st.integers(1, 100), max_size=30))
def test_no_window_of_a_minute_has_more_tokens_than_allowed(limit: int, sizes: list[int]) -> None:
    clock = Clock()
    times = starts(Pace(tokens=limit, clock=clock, sleep=clock.sleep), clock, sizes)
    assert times == sorted(times), "first come, first served"
    for start in times:
        window = [size for at, size in zip(times, sizes, strict=True) if start <= at < start + WINDOW_S]
        # A request larger than the limit goes alone.
        assert sum(window) <= limit or len(window) == 1


def test_tokens_that_were_not_used_are_given_back() -> None:
    clock = Clock()
    pace = Pace(tokens=100, clock=clock, sleep=clock.sleep)

    async def two() -> float:
        turn = await pace.turn(90)
        pace.settle(turn, 20)
        await pace.turn(80)
        return clock()

    assert asyncio.run(two()) == 1000.0


def test_a_wait_is_drawn_from_zero_to_a_doubling_limit() -> None:
    backoff = Backoff(base_s=1.0, cap_s=60.0)
    assert [backoff.wait(tries, None, 1.0) for tries in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, 8.0]
    assert backoff.wait(3, None, 0.0) == 0.0
    assert backoff.wait(50, None, 1.0) == 60.0


def test_what_the_server_asks_for_is_waited_in_full() -> None:
    assert Backoff(base_s=1.0, cap_s=2.0).wait(1, 30.0, 0.0) == 30.0
    assert Backoff(base_s=1.0, cap_s=2.0).wait(9, 30.0, 0.5) == 30.5
