"""Many asks at once: cache, pace, budget, attempts, ledger. Every ask ends in exactly one reply."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
from collections.abc import Sequence

from proofglass.errors import UsageError, is_environment
from proofglass.types import Ask, Cost, Finish, Reply, Unsent
from proofglass.victims.api.cache import Cache
from proofglass.victims.api.faults import Fault
from proofglass.victims.api.ledger import Bill, BudgetSpent, Caps, Ledger
from proofglass.victims.api.limits import Backoff, Pace
from proofglass.victims.api.prices import Price
from proofglass.victims.api.provider import Answer, Provider, Request

_TOO_LONG = "too long for the model: "
_LARGE = 2**16  # pixels: a PNG of so many takes about 3 ms


@dataclasses.dataclass
class Calls:
    """What answers asks. attempts: at most so many per ask. longest_wait_s: an ask whose server wants to be left
    alone for longer ends as an error. price None: unknown, money stays 0."""

    provider: Provider
    ledger: Ledger
    budget: Caps
    pace: Pace
    cache: Cache | None
    price: Price | None
    connections: int
    attempts: int
    longest_wait_s: float
    backoff: Backoff

    async def answer(self, places: Sequence[str], asks: Sequence[Ask]) -> list[Reply]:
        """One reply per ask. places: names of the asks in the ledger.

        Raises UsageError if the API refuses the key, the account or the model as a whole: what was answered until
        then is in the ledger. Raises StoreError if the ledger cannot be written.
        """
        batch = _Batch(self, asyncio.Semaphore(self.connections))
        tasks = [asyncio.ensure_future(batch.one(place, ask)) for place, ask in zip(places, asks, strict=True)]
        try:
            replies = await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self._give_back(places, ended)
            raise
        if batch.hopeless or any(isinstance(reply, Unsent) for reply in replies):
            self._give_back(places, replies)
        if batch.hopeless:
            raise UsageError(f"{self.provider.name}: the API refuses every ask: {batch.hopeless}")
        return list(replies)

    def _give_back(self, places: Sequence[str], ended: Sequence[Reply | BaseException]) -> None:
        """The caller does not get this batch, or not to keep: what was answered is served when it is asked again."""
        for place, reply in zip(places, ended, strict=True):
            if isinstance(reply, Reply) and (reply.outcome != "error" or reply.cost.tokens_in):
                self.ledger.give_back(place, reply)


class _Batch:
    """The asks of one `answer`. hopeless: why none of them can succeed, once that is known."""

    def __init__(self, calls: Calls, gate: asyncio.Semaphore) -> None:
        self.calls, self.gate = calls, gate
        self.hopeless = ""

    async def one(self, place: str, ask: Ask) -> Reply:
        calls = self.calls
        if recalled := calls.ledger.recall(place):
            return recalled
        if calls.cache and (cached := await asyncio.to_thread(calls.cache.get, ask)):
            return cached
        fault: Fault | None = None
        for attempt in range(1, calls.attempts + 1):
            async with self.gate:
                try:
                    ended = await self._attempt(place, ask, attempt)
                except BudgetSpent as spent:
                    return _not_sent(str(spent), fault)
            if isinstance(ended, Reply):
                return ended
            fault = ended
            wait = calls.backoff.wait(attempt, fault.retry_after, random.random())
            if not fault.retry or attempt == calls.attempts:
                break
            if wait > calls.longest_wait_s:
                return Reply.error(f"{fault.reason} (the server asks to wait {wait:.0f} s)")
            await asyncio.sleep(wait)
        assert fault is not None
        return Reply.error(fault.reason + (f" ({attempt} attempts)" if attempt > 1 else ""), fault=fault.ask)

    async def _attempt(self, place: str, ask: Ask, attempt: int) -> Reply | Fault:
        """One request, between its two lines in the ledger. Raises BudgetSpent, and then nothing was sent."""
        calls = self.calls
        if self.hopeless:
            return Fault(self.hopeless)
        try:
            request = await self._request(ask)
        except Exception as error:  # a picture that cannot be read
            if is_environment(error):
                raise
            return Reply.error(f"{type(error).__name__}: {error}")
        worst = self._worst(request.estimate, ask.settings.max_new_tokens)
        calls.ledger.afford(worst, calls.budget)  # before the turn, which may take long to come
        turn = await calls.pace.turn(worst.tokens)
        n = await calls.ledger.sent(place, attempt, worst, request.estimate, calls.budget)
        got = await self._send(n, request)
        if isinstance(got, Fault) and got.filtered:
            got = Answer("", "", "content_filter", got.reason, (0, 0, 0, 0))
        if isinstance(got, Fault):
            await calls.ledger.failed(n, got.reason, got.possibly_paid)
            self.hopeless = self.hopeless or (got.reason if got.hopeless else "")
            return got
        if got.tokens:
            calls.pace.settle(turn, sum(got.tokens))
        return await self._keep(n, ask, got)

    async def _request(self, ask: Ask) -> Request:
        """Large pictures are encoded in a thread: meanwhile other requests go on."""
        if any(image.width * image.height > _LARGE for image in ask.chat.images):
            return await asyncio.to_thread(self.calls.provider.request, ask)
        return self.calls.provider.request(ask)

    def _worst(self, estimate: int, tokens_out: int) -> Bill:
        """What an attempt may cost at the most; the estimate is raised where the API counted more before."""
        tokens_in = math.ceil(estimate * self.calls.ledger.book.scale)
        money = self.calls.price.money(tokens_in, tokens_out) if self.calls.price else 0.0
        return Bill(1, tokens_in + tokens_out, money)

    async def _send(self, n: int, request: Request) -> Answer | Fault:
        try:
            return await self.calls.provider.ask(request)
        except BaseException:
            self.calls.ledger.lost(n)
            raise

    async def _keep(self, n: int, ask: Ask, answer: Answer) -> Reply:
        """The reply, once it is in the ledger."""
        calls = self.calls
        full, out, cached, written = answer.tokens or (0, 0, 0, 0)
        money = answer.money
        if money is None:
            money = calls.price.money(full, out, cached, written) if calls.price else 0.0
        cost = Cost(queries=1, tokens_in=full + cached + written, tokens_out=out, money=money)
        reply = dataclasses.replace(reply_of(answer), cost=cost)
        # Without a count, these are errors of the provider: no model was asked.
        refused = answer.tokens is None and not answer.text and answer.stop in ("content_filter", "model_length")
        counted = (cost.tokens_in, out) if answer.tokens or refused else None
        await calls.ledger.answered(n, reply, answer.model, counted, money)
        if calls.cache:
            await asyncio.to_thread(calls.cache.put, ask, reply, answer.model)
        return reply


def _not_sent(why: str, fault: Fault | None) -> Reply:
    """Costs no query: a run that goes on with a larger budget asks again."""
    rest = f"no further attempt after {fault.reason}" if fault else "not sent"
    return Unsent.because(f"{why}: {rest}")


def reply_of(answer: Answer) -> Reply:
    """What an answer means. A refusal by the provider, and its filter, are outcomes of their own, with what was
    delivered before; so is the defense of a server of ours. An empty answer is an error, since a judge would take it
    for an answer without a refusal, unless there is a thought: it was cut off in it, and no judge is shown that."""
    reply = dataclasses.replace(_outcome_of(answer), reasoning=answer.reasoning)
    return reply if reply.outcome == "error" else dataclasses.replace(reply, choices=answer.choices)


def _outcome_of(answer: Answer) -> Reply:
    finish: Finish = "length" if answer.stop in ("max_tokens", "model_length") else "stop"
    delivered = answer.text if answer.text.strip() else ""
    if answer.blocked:
        return Reply(answer.text, "blocked", finish, answer.note)
    if answer.refused:
        return Reply(delivered, "refused", reason=answer.note or "refused by the provider")
    if answer.stop == "content_filter":
        return Reply(delivered, "filtered", reason=answer.note or "content filter")
    if answer.stop == "model_length" and answer.tokens is None:
        said = answer.note.removeprefix(_TOO_LONG)  # one of our own endpoints says it in the same words
        return Reply.error(_TOO_LONG + said, fault="length")
    if not delivered and answer.reasoning:
        return Reply(finish=finish)
    if not delivered:
        cut = " at the limit of tokens; a model that reasons needs more max_new_tokens" if finish == "length" else ""
        return Reply.error(f"empty answer{cut}")
    return Reply(answer.text, finish=finish)
