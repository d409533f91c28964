"""The ledger of an API victim: what was sent, what came back, what it cost. It outlives the process.

`calls.jsonl` has one line per event, closed by its checksum, on disk before the program goes on:

    {"do": "sent", "n": 7, "ask": ..., "try": 1, "estimate": 900, "tokens": 964, "money": 0.01, "at": ...}
    {"do": "answered", "n": 7, "reply": {...}, "model": ..., "tokens_in": 812, "tokens_out": 20, "money": 0.004}
    {"do": "failed", "n": 7, "reason": "429: slow down", "paid": "no"}

`sent` holds the worst case (`tokens` in and out, `money`). An attempt that has no end (the process was killed), or that
ended by a time-out or a broken connection (`"paid": "possibly"`), may have been answered and billed: it counts with
its worst case, so a budget holds over any number of kills. An answer that the study did not get to keep is served
from here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import weakref
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from proofglass.records.checksums import damaged, is_intact, signed, signed_lines
from proofglass.records.files import guarded
from proofglass.records.lock import Lock
from proofglass.records.schema import utf8
from proofglass.types import Cost, Reply

FILE = "calls.jsonl"
_WITHOUT = ("decisions", "images")  # of a reply, in a line
_FIX = "move it away: what it holds then counts against no budget (one of an older version has no checksums)"


@dataclass(frozen=True)
class Bill:
    """So many calls, tokens (in and out) and US dollars."""

    calls: int = 0
    tokens: int = 0
    money: float = 0.0

    def __add__(self, other: Bill) -> Bill:
        return Bill(self.calls + other.calls, self.tokens + other.tokens, self.money + other.money)

    def __sub__(self, other: Bill) -> Bill:
        return Bill(self.calls - other.calls, self.tokens - other.tokens, self.money - other.money)


Limit = Literal["calls", "tokens", "money"]


@dataclass(frozen=True)
class Caps:
    """Hard limits, None: none. Calls are attempts, retries included."""

    money: float | None = None
    tokens: int | None = None
    calls: int | None = None

    def lacks(self, bill: Bill) -> Limit | None:
        """Which limit `bill` exceeds, None if none."""
        if self.calls is not None and bill.calls > self.calls:
            return "calls"
        if self.tokens is not None and bill.tokens > self.tokens:
            return "tokens"
        if self.money is not None and bill.money > self.money + 1e-12:  # sums of floats
            return "money"
        return None


class BudgetSpent(Exception):
    """The next attempt, at its worst, would exceed a limit; the message says which, what is gone, and what it takes."""

    def __init__(self, limit: Limit, budget: Caps, book: Book, worst: Bill) -> None:
        cap, known, all_, next_ = (getattr(each, limit) for each in (budget, book.known, book.committed, worst))
        told = [f"{round(each, 9):.4g}" if limit == "money" else f"{each}" for each in (known, all_ - known, next_)]
        super().__init__(
            f"budget of {cap} {'USD' if limit == 'money' else limit}: {told[0]} spent so far, {told[1]} possibly paid, "
            f"and the next ask may cost {told[2]}"
        )


@dataclass
class Book:
    """What the lines of a ledger add up to.

    known: answered, at the API's own count. possibly: sent, perhaps answered and billed, at the worst case. open:
    attempts under way -> their worst case and their estimate of the tokens in. scale: highest ratio of the API's count
    of tokens in to our estimate, at least 1. answers: ask -> where its answers lie in the file (offset, bytes).
    """

    known: Bill = Bill()
    possibly: Bill = Bill()
    open: dict[int, tuple[Bill, int]] = field(default_factory=dict)
    models: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    scale: float = 1.0
    next: int = 0
    asks: dict[int, str] = field(default_factory=dict)
    answers: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def sent(self, n: int, worst: Bill, estimate: int) -> None:
        self.open[n] = worst, estimate
        self.next = max(self.next, n + 1)

    def answered(self, n: int, line: Mapping[str, Any]) -> None:
        worst, estimate = self.open.pop(n)
        self.models[line["model"]] += 1
        if line["tokens_in"] is None:  # the API did not count: the worst case stands
            self.possibly += worst
            return
        self.known += Bill(1, line["tokens_in"] + line["tokens_out"], line["money"])
        if estimate:
            self.scale = max(self.scale, line["tokens_in"] / estimate)

    def failed(self, n: int, reason: str, possibly_paid: bool) -> None:
        worst, _ = self.open.pop(n)
        self.failures[reason] += 1
        if possibly_paid:
            self.possibly += worst
        else:
            self.known += Bill(worst.calls)

    @property
    def settled(self) -> Bill:
        return self.known + self.possibly

    @property
    def committed(self) -> Bill:
        """Everything that may have to be paid, attempts under way at their worst."""
        return sum((worst for worst, _ in self.open.values()), self.settled)


class Ledger:
    """The ledger in `folder`, None: in memory only. One process writes at a time; one event loop uses it.

    Raises StoreError if another process has it open, or if a line is damaged (not: torn by a crash).
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.book = Book()
        self._back: dict[str, Reply] = {}
        self._file: int | None = None
        self._end = 0
        self._lines: list[bytes] = []
        self._group: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._settled = asyncio.Event()
        if folder is None:
            return
        lock = Lock(folder)
        weakref.finalize(self, lock.release)
        path = folder / FILE
        with guarded(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        weakref.finalize(self, os.close, self._file)
        self.book, self._end = read(path)
        with guarded(path):
            os.ftruncate(self._file, self._end)
        for worst, _ in self.book.open.values():  # an earlier process was killed over them
            self.book.possibly += worst
        self.book.open.clear()

    def recall(self, ask: str) -> Reply | None:
        """An answer to `ask` that was paid and that nobody got to keep: of an earlier process, or given back. Once."""
        if ask in self._back:
            return self._back.pop(ask)
        places = self.book.answers.get(ask)
        if not places or self._file is None or self.folder is None:
            return None
        offset, length = places.pop(0)
        line = os.pread(self._file, length, offset)
        if not is_intact(line):
            raise damaged(f"{self.folder / FILE}: byte {offset}", _FIX)
        told = json.loads(line)["reply"]
        return Reply(**{**told, "decisions": (), "images": (), "cost": Cost(**told["cost"])})

    def give_back(self, ask: str, reply: Reply) -> None:
        """`reply` to `ask` was not delivered: `recall` gives it."""
        self._back[ask] = reply

    def afford(self, worst: Bill, budget: Caps) -> bool:
        """Whether `worst` fits now; False: attempts under way will tell. Raises BudgetSpent if it never will."""
        lack = budget.lacks(self.book.committed + worst)
        if lack and budget.lacks(self.book.settled + Bill(len(self.book.open)) + worst):
            raise BudgetSpent(lack, budget, self.book, worst)
        return not lack

    async def sent(self, ask: str, attempt: int, worst: Bill, estimate: int, budget: Caps) -> int:
        """Take the worst case from the budget and note the attempt; its number. On return it may be sent.

        estimate: of the tokens in. Waits while attempts under way decide whether there is enough. Raises BudgetSpent
        if there is not.
        """
        while not self.afford(worst, budget):
            self._settled.clear()
            await self._settled.wait()
        n = self.book.next
        self.book.sent(n, worst, estimate)
        line = {"do": "sent", "n": n, "ask": ask, "try": attempt, "estimate": estimate, "tokens": worst.tokens}
        try:
            await self._append({**line, "money": worst.money, "at": _now()})
        except BaseException:
            self.lost(n)
            raise
        return n

    async def answered(self, n: int, reply: Reply, model: str, tokens: tuple[int, int] | None, money: float) -> None:
        """The API answered (whatever the outcome) and counted `tokens` (in, out), None if it did not count."""
        tokens_in, tokens_out = tokens or (None, None)
        line = {"do": "answered", "n": n, "model": model, "tokens_in": tokens_in, "tokens_out": tokens_out}
        text = dataclasses.replace(reply, decisions=(), images=())  # an API of text has neither
        line |= {"money": money, "reply": {k: v for k, v in dataclasses.asdict(text).items() if k not in _WITHOUT}}
        self.book.answered(n, line)
        self._settled.set()
        await self._append(line)

    async def failed(self, n: int, reason: str, possibly_paid: bool) -> None:
        """The attempt brought no answer."""
        self.book.failed(n, kind_of(reason), possibly_paid)
        self._settled.set()
        await self._append({"do": "failed", "n": n, "reason": reason, "paid": "possibly" if possibly_paid else "no"})

    def lost(self, n: int) -> None:
        """The attempt was cancelled under way. No line: a `sent` without an end says the same."""
        self.book.failed(n, "cancelled", possibly_paid=True)
        self._settled.set()

    async def _append(self, line: Mapping[str, Any]) -> None:
        """Write and sync, together with the lines of others that wait."""
        if self._file is None:
            return
        self._lines.append(signed(utf8(json.dumps(line, separators=(",", ":"))).encode()))
        if self._group is None:
            self._group = asyncio.get_running_loop().create_task(self._sync())
        await asyncio.shield(self._group)

    async def _sync(self) -> None:
        async with self._writing:  # lines that come during a sync are the next group
            lines, self._lines, self._group = self._lines, [], None
            await asyncio.to_thread(self._put, b"".join(lines))

    def _put(self, lines: bytes) -> None:
        assert self._file is not None
        assert self.folder is not None
        with guarded(self.folder / FILE):
            try:
                written = 0
                while written < len(lines):
                    written += os.write(self._file, lines[written:])
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, self._end)
                raise
        self._end += len(lines)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def kind_of(reason: str) -> str:
    """What stands before the first colon: "429", "time-out", ..."""
    return reason.partition(":")[0]


def read(path: Path) -> tuple[Book, int]:
    """What the ledger at `path` adds up to and its length in bytes, a torn last line left out.

    Attempts without an end are in `open`. Raises StoreError for a damaged line.
    """
    book, end = Book(), 0
    if not path.exists():
        return book, end
    for offset, line in signed_lines(path, _FIX):  # a last one that a crash tore was not sent
        _enter(book, json.loads(line), offset, len(line))
        end = offset + len(line)
    return book, end


def _enter(book: Book, line: Mapping[str, Any], offset: int, length: int) -> None:
    n = line["n"]
    if line["do"] == "sent":
        book.sent(n, Bill(1, line["tokens"], line["money"]), line["estimate"])
        book.asks[n] = line["ask"]
    elif line["do"] == "answered":
        book.answered(n, line)
        book.answers.setdefault(book.asks.pop(n), []).append((offset, length))
    else:
        book.failed(n, kind_of(line["reason"]), line["paid"] == "possibly")
        book.asks.pop(n)
