"""The ledger of the API victim: what a budget has left after any way to end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from proofglass.errors import StoreError
from proofglass.types import Cost, Reply
from proofglass.victims.api import ledger as ledgers
from proofglass.victims.api.ledger import Bill, BudgetSpent, Caps, Ledger

NO_LIMIT = Caps()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def reply(text: str = "yes", tokens_in: int = 10, money: float = 0.0) -> Reply:
    return Reply(text, cost=Cost(queries=1, tokens_in=tokens_in, tokens_out=2, money=money))


def test_an_answer_is_there_for_the_next_process_once(tmp_path: Path) -> None:
    async def first() -> None:
        ledger = Ledger(tmp_path / "l")
        n = await ledger.sent("a:0", 1, Bill(1, 100, 0.5), 90, NO_LIMIT)
        await ledger.answered(n, reply(money=0.1), "m-1", (10, 2), 0.1)

    run(first())
    ledger = Ledger(tmp_path / "l")
    assert ledger.recall("a:1") is None
    assert ledger.recall("a:0") == reply(money=0.1)
    assert ledger.recall("a:0") is None, "claimed"
    assert ledger.book.known == Bill(1, 12, 0.1)
    assert ledger.book.models == {"m-1": 1}


def test_what_has_no_end_or_a_broken_one_counts_at_its_worst(tmp_path: Path) -> None:
    async def killed() -> None:
        ledger = Ledger(tmp_path / "l")
        for k in range(4):
            await ledger.sent(f"a:{k}", 1, Bill(1, 100, 0.5), 90, NO_LIMIT)
        await ledger.failed(0, "429: slow down", possibly_paid=False)
        await ledger.failed(1, "time-out: no answer within 3 s", possibly_paid=True)
        ledger.lost(2)

    run(killed())
    book = Ledger(tmp_path / "l").book
    assert book.possibly == Bill(3, 300, 1.5)
    assert book.known == Bill(1, 0, 0.0)
    assert book.next == 4


def test_a_torn_last_line_was_never_sent_and_another_damaged_one_is_no_ledger(tmp_path: Path) -> None:
    async def one() -> None:
        await Ledger(tmp_path / "l").sent("a:0", 1, Bill(1, 100, 0.5), 90, NO_LIMIT)

    run(one())
    path = tmp_path / "l" / ledgers.FILE
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    assert Ledger(tmp_path / "l").book.possibly.calls == 1
    assert path.read_bytes() == whole
    path.write_bytes(whole[:40] + b"\n" + whole)
    with pytest.raises(StoreError, match=r"calls\.jsonl:1: not as it was written.*move it away"):
        Ledger(tmp_path / "l")


def test_one_process_writes_a_ledger(tmp_path: Path) -> None:
    held = Ledger(tmp_path / "l")
    with pytest.raises(StoreError, match="another process"):
        Ledger(tmp_path / "l")
    del held
    assert Ledger(tmp_path / "l").book.next == 0


@pytest.mark.parametrize("budget", [Caps(money=1.0), Caps(tokens=200), Caps(calls=2)])
def test_a_budget_is_kept_over_resumes(tmp_path: Path, budget: Caps) -> None:
    async def one(folder: Path) -> bool:
        try:
            await Ledger(folder).sent("a", 1, Bill(1, 100, 0.5), 90, budget)
        except BudgetSpent:
            return False
        return True  # and no end: the process is killed

    assert [run(one(tmp_path / "l")) for _ in range(4)] == [True, True, False, False]


def test_attempts_wait_for_those_under_way_and_go_when_these_cost_less_than_feared() -> None:
    async def story() -> list[str]:
        ledger, told = Ledger(None), []
        budget = Caps(tokens=150)
        first = await ledger.sent("a", 1, Bill(1, 100), 90, budget)

        async def second() -> None:
            await ledger.sent("b", 1, Bill(1, 100), 90, budget)
            told.append("second went")

        waiting = asyncio.create_task(second())
        await asyncio.sleep(0)
        told.append("first answered")
        await ledger.answered(first, reply(), "m", (30, 10), 0.0)
        await waiting
        with pytest.raises(BudgetSpent, match="150 tokens"):
            ledger.afford(Bill(1, 111), budget)  # 40 + 111 > 150, whatever the second costs
        return told

    assert run(story()) == ["first answered", "second went"]


def test_an_estimate_that_was_too_low_raises_those_that_follow() -> None:
    async def story() -> float:
        ledger = Ledger(None)
        n = await ledger.sent("a", 1, Bill(1, 100), 50, NO_LIMIT)
        await ledger.answered(n, reply(), "m", (150, 1), 0.0)
        n = await ledger.sent("a", 1, Bill(1, 100), 50, NO_LIMIT)
        await ledger.answered(n, reply(), "m", (20, 1), 0.0)
        return ledger.book.scale

    assert run(story()) == 3.0


def test_an_api_that_does_not_count_is_billed_at_the_worst() -> None:
    async def story() -> Bill:
        ledger = Ledger(None)
        n = await ledger.sent("a", 1, Bill(1, 100, 0.5), 50, NO_LIMIT)
        await ledger.answered(n, reply(), "m", None, 0.0)
        return ledger.book.possibly

    assert run(story()) == Bill(1, 100, 0.5)
