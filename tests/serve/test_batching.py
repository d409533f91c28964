"""One thread asks the victim; asks go together; a failing or abandoned one costs itself only."""

from __future__ import annotations

import asyncio
import threading

import pytest

from proofglass.serve.batching import Batcher, answers
from proofglass.serve.limits import Limits
from proofglass.serve.problems import Problem
from proofglass.types import Ask, Chat, Reply
from serve.live import Teller


def ask(text: str) -> Ask:
    return Ask(Chat.user(text))


def running(work, victim: Teller, **limits):
    """The result of `work(batcher)` while the batcher runs."""

    async def once():
        batcher = Batcher(victim, Limits(**{"window_s": 0.02, "batch": 4, **limits}))
        async with batcher.running():
            async with asyncio.timeout(30):
                return await work(batcher)

    return asyncio.run(once())


def test_asks_that_come_together_go_together_and_in_order():
    victim = Teller()

    async def work(batcher):
        return await asyncio.gather(*(batcher.answer(ask(f"q{k}")) for k in range(10)))

    replies = running(work, victim)
    assert [reply.text for reply in replies] == [f"Q{k}" for k in range(10)]
    assert [len(batch) for batch in victim.batches] == [4, 4, 2]
    assert victim.asked == [f"q{k}" for k in range(10)]


def test_only_one_thread_ever_asks():
    victim = Teller()

    async def work(batcher):
        for k in range(3):
            await batcher.answer(ask(f"q{k}"))

    running(work, victim, window_s=0)
    assert victim.threads == {"victim"}
    assert threading.current_thread().name != "victim"


def test_who_stops_waiting_in_the_queue_is_never_asked():
    victim = Teller()
    victim.held.clear()

    async def work(batcher):
        first = asyncio.create_task(batcher.answer(ask("first")))
        await asyncio.to_thread(victim.begun.wait, 10)
        gone, stays = (asyncio.create_task(batcher.answer(ask(text))) for text in ("gone", "stays"))
        await asyncio.sleep(0)
        gone.cancel()
        victim.held.set()
        return [await first, await stays]

    replies = running(work, victim)
    assert [reply.text for reply in replies] == ["FIRST", "STAYS"]
    assert victim.asked == ["first", "stays"]


def test_who_stops_waiting_for_what_runs_loses_its_reply_only():
    victim = Teller()
    victim.held.clear()

    async def work(batcher):
        gone, stays = (asyncio.create_task(batcher.answer(ask(text))) for text in ("gone", "stays"))
        await asyncio.to_thread(victim.begun.wait, 10)
        gone.cancel()
        victim.held.set()
        return [await stays, await batcher.answer(ask("later"))]

    assert [reply.text for reply in running(work, victim)] == ["STAYS", "LATER"]
    assert victim.asked == ["gone", "stays", "later"]


def failing(word: str, error: BaseException):
    def answer(ask: Ask) -> Reply:
        if word in ask.chat.last_text:
            raise error
        return Reply(ask.chat.last_text)

    return answer


@pytest.mark.parametrize("error", [RuntimeError("no memory"), MemoryError("all of it"), SystemExit("bye")])
def test_one_failing_ask_costs_itself(error):
    victim = Teller(failing("bad", error))
    replies = answers(victim, [ask(text) for text in ("a", "b", "bad", "c", "d")])
    assert [reply.text for reply in replies] == ["a", "b", "", "c", "d"]
    assert [reply.outcome for reply in replies] == ["ok", "ok", "error", "ok", "ok"]
    assert replies[2].reason == f"{type(error).__name__}: {error}"


def test_too_few_replies_are_never_given_to_the_wrong_caller():
    class Forgetful(Teller):
        def reply(self, asks):
            return super().reply(asks)[: max(1, len(asks) - 1)]

    replies = answers(Forgetful(), [ask(text) for text in "abc"])
    assert [reply.text for reply in replies] == ["A", "B", "C"]


def test_the_worker_outlives_a_victim_that_raises():
    victim = Teller(failing("bad", SystemExit("bye")))

    async def work(batcher):
        return [await batcher.answer(ask(text)) for text in ("bad", "good")]

    bad, good = running(work, victim)
    assert (bad.outcome, good.text) == ("error", "good")


def test_seats_are_counted_and_given_back():
    batcher = Batcher(Teller(), Limits(queue=2))
    with batcher.seat(), batcher.seat():
        with pytest.raises(Problem) as caught, batcher.seat():
            pass
        assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})
    with pytest.raises(RuntimeError), batcher.seat():
        raise RuntimeError
    assert batcher.held == 0


def test_at_the_end_those_who_wait_are_told():
    victim = Teller()
    victim.held.clear()

    async def once():
        batcher = Batcher(victim, Limits(batch=1, window_s=0))
        async with batcher.running():
            waits = [asyncio.create_task(batcher.answer(ask(text))) for text in ("runs", "queued")]
            await asyncio.to_thread(victim.begun.wait, 10)
        ends = await asyncio.gather(*waits, return_exceptions=True)
        late = await asyncio.gather(batcher.answer(ask("late")), return_exceptions=True)
        victim.held.set()
        return ends + late

    ends = asyncio.run(once())
    assert [(type(end), end.status) for end in ends] == [(Problem, 503)] * 3
    assert victim.asked == ["runs"]


def test_a_batch_that_runs_past_every_callers_patience_is_noticed():
    victim = Teller()
    victim.held.clear()

    async def work(batcher):
        waits = asyncio.create_task(batcher.answer(ask("x")))
        await asyncio.to_thread(victim.begun.wait, 10)
        before = batcher.stuck()
        await asyncio.sleep(0.15)
        during = batcher.stuck()
        victim.held.set()
        await waits
        return before, during, batcher.stuck()

    assert running(work, victim, deadline_s=0.1)[1:] == (True, False)
