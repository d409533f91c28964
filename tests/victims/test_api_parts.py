"""The parts of the API victim that need no server: pace, backoff, prices, ledger, faults, cache, what is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.errors import StoreError, UsageError
from proofglass.types import Ask, Chat, Cost, Image, Reply, Settings
from proofglass.victims.api import ledger as ledgers
from proofglass.victims.api import prices
from proofglass.victims.api.cache import Cache
from proofglass.victims.api.calls import reply_of
from proofglass.victims.api.faults import Secrets, fault_of
from proofglass.victims.api.ledger import Bill, BudgetSpent, Caps, Ledger
from proofglass.victims.api.limits import WINDOW_S, Backoff, Pace
from proofglass.victims.api.prices import Price
from proofglass.victims.api.provider import Answer, estimate, merged, said_in, thought_apart

NO_LIMIT = Caps()


def picture(seed: int = 0, side: int = 8) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


# --------------------------------------------------------------------------------------------------- pace, backoff


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


# --------------------------------------------------------------------------------------------------------- prices


def test_money_is_tokens_times_price() -> None:
    price = Price(input=2.0, output=10.0, cached=0.5, cache_write=2.5)
    # (1000 x 2 + 100 x 10 + 400 x 0.5 + 200 x 2.5) / 1e6
    assert price.money(1000, 100, 400, 200) == pytest.approx(0.0037)
    assert Price(input=2.0, output=10.0).money(0, 0, 400, 200) == pytest.approx(0.0012), "as input, if not listed"


def test_the_shipped_prices_are_whole() -> None:
    import yaml

    for name in yaml.safe_load(prices.SHIPPED.read_text())["models"]:
        price = prices.find(name)
        assert price is not None
        assert price.input > 0
        assert price.output >= price.input
        assert price.source.startswith("https://")
        assert price.date


def test_the_users_prices_come_first_and_the_shipped_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("# mine\nmodels:\n  openai/gpt-4o: {input: 1, output: 2}\n  vllm/x: {input: 0, output: 0}\n")
    for found in (lambda name: prices.find(name, mine), prices.find):
        assert found("openai/gpt-4o") == Price(input=1, output=2)
        assert found("vllm/x") == Price(input=0, output=0)
        assert found("anthropic/claude-opus-5").input == 5.0
        assert found("openai/gpt-none") is None
        monkeypatch.setenv(prices.VARIABLE, str(mine))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("models:\n  m/x: {input: 1}\n", "m/x: found {'input': 1}. Expected input and output"),
        ("models:\n  m/x: {input: 1, output: -2}\n", "m/x.output: found -2. Expected a number, 0 or more"),
        ("models:\n  m/x: {input: 1, output: dear}\n", "m/x.output: found 'dear'"),
        ("models:\n  m/x: {input: .nan, output: 1}\n", "m/x.input: found nan"),  # no sum of it exceeds a budget
        ("models:\n  m/x: {input: 1, output: .inf}\n", "m/x.output: found inf"),
        ("models:\n  m/x: {input: 1, output: 2, colour: 3}\n", "Expected input and output, and of cached"),
        ("prices: {}\n", "found no `models:`"),
        ("models: [\n", "no YAML"),
    ],
)
def test_a_wrong_price_names_file_and_field(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        prices.find("m/x", path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_an_unknown_price_names_file_and_line_to_add(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("# a comment\n\nmodels:\n  m/x: {input: 1, output: 2}\n")
    with pytest.raises(UsageError, match=r"Add the line `  m/y: \{input: USD, output: USD\}` after line 3, `models:`"):
        prices.needed("m/y", path)
    with pytest.raises(UsageError, match="PROOFGLASS_PRICES"):
        prices.needed("m/y")
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read: No such file"):
        prices.find("m/x", tmp_path / "none.yaml")


# --------------------------------------------------------------------------------------------------------- ledger


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


# -------------------------------------------------------------------------------------------------- faults, secrets


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status_code, self.code, self.body = status, code, {"message": message}


@pytest.mark.parametrize(
    ("error", "retry", "paid", "kind"),
    [
        (Refused(429, "slow"), True, False, "429"),
        (Refused(500, "oops"), True, False, "500"),
        (Refused(529, "overloaded"), True, False, "529"),
        (Refused(400, "bad picture"), False, False, "400"),
        (Refused(413, "too large"), False, False, "413"),
        (TimeoutError(), True, True, "time-out"),
        (ConnectionResetError("reset by peer"), True, True, "connection broken"),
        (ConnectionRefusedError("refused"), True, False, "no connection"),
        (json.JSONDecodeError("Expecting value", "", 0), True, True, "malformed answer"),
        (TypeError("'NoneType' object is not iterable"), True, True, "malformed answer"),
    ],
)
def test_what_a_fault_means(error: Exception, retry: bool, paid: bool, kind: str) -> None:
    fault = fault_of(error, None, 3.0)
    assert (fault.retry, fault.possibly_paid, ledgers.kind_of(fault.reason)) == (retry, paid, kind)
    assert not fault.filtered
    assert not fault.hopeless


@pytest.mark.parametrize(
    ("error", "ask"),
    [
        (Refused(400, "bad picture"), "ask"),
        (Refused(422, "roles must alternate"), "ask"),
        (Refused(413, "too large"), "ask"),
        (Refused(400, "This model's maximum context length is 4096 tokens."), "length"),
        (Refused(400, "prompt is too long: 209999 tokens > 200000 maximum"), "length"),
        (Refused(400, "too many", "context_length_exceeded"), "length"),
        (Refused(500, "maximum context length"), ""),
        (Refused(429, "slow"), ""),
        (Refused(403, "not in your country"), ""),
        (TimeoutError(), ""),
    ],
)
def test_what_the_ask_is_to_blame_for_is_told_from_what_the_provider_is(error: Exception, ask: str) -> None:
    assert fault_of(error, None, 3.0).ask == ask


def test_the_providers_filter_is_no_fault_of_the_ask_and_a_wrong_key_is_one_of_all() -> None:
    assert fault_of(Refused(400, "no", "content_filter"), None, 3.0).filtered
    assert fault_of(Refused(400, "no", "content_policy_violation"), None, 3.0).filtered
    assert not fault_of(Refused(500, "content_filter crashed"), None, 3.0).filtered
    for error in (
        Refused(401, "key"),
        Refused(404, "model"),
        Refused(429, "quota", "insufficient_quota"),
        Refused(400, "Your credit balance is too low to access the Anthropic API."),
        Refused(400, "API key not valid. Please pass a valid API key."),
    ):
        fault = fault_of(error, None, 3.0)
        assert fault.hopeless
        assert not fault.retry


def test_an_aggregators_moderation_is_a_filter_and_no_lack_of_permission() -> None:
    error = Refused(403, "input flagged")
    error.body = {"message": "input flagged", "metadata": {"reasons": ["x"], "flagged_input": "..."}}  # type: ignore[dict-item]
    assert fault_of(error, None, 3.0).filtered
    assert not fault_of(Refused(403, "forbidden"), None, 3.0).filtered


@pytest.mark.parametrize(
    ("status", "wanted", "retry"),
    [(502, "false", False), (429, "false", False), (400, "true", True), (401, "true", False), (502, "perhaps", True)],
)
def test_a_server_that_says_whether_to_come_again_is_believed(status: int, wanted: str, retry: bool) -> None:
    error = Refused(status, "no")
    error.response = SimpleNamespace(headers={"x-should-retry": wanted})  # type: ignore[attr-defined]
    assert fault_of(error, None, 3.0).retry is retry


def test_the_providers_own_words_are_the_reason() -> None:
    nested = Refused(400, "Error code: 400")
    nested.body = {"type": "error", "error": {"message": "too many pictures"}}  # type: ignore[dict-item]
    assert fault_of(nested, None, 3.0).reason == "400: too many pictures"
    assert fault_of(Refused(400, "bad picture"), None, 3.0).reason == "400: bad picture"


def test_what_lies_under_a_vendors_error_decides() -> None:
    class APIConnectionError(Exception):
        pass

    def raised(under: Exception) -> Exception:
        try:
            raise APIConnectionError("Connection error.") from under
        except APIConnectionError as error:
            return error

    sent = fault_of(raised(ConnectionResetError("reset by peer")), None, 3.0)
    assert sent.possibly_paid
    assert sent.reason == "connection broken: Connection error. (reset by peer)"
    assert not fault_of(raised(ConnectionRefusedError("refused")), None, 3.0).possibly_paid


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcdefgh12345678.",
        "Incorrect API key provided: sk-proj-********5678.",
        "header Authorization: Bearer abcdef.ghi",
        "GET https://example.org/v1?key=AIzaSyA1234567890abc failed",
        "the key my own secret key 42 is wrong",
    ],
)
def test_keys_are_hidden(text: str) -> None:
    told = Secrets(("my own secret key 42",)).reason(text)
    assert "***" in told
    for secret in ("abcdefgh12345678", "5678", "abcdef.ghi", "AIzaSyA", "my own secret"):
        assert secret not in told


def test_a_reason_is_one_line_and_short() -> None:
    told = Secrets(("none",)).reason("there is none\n" + "x" * 1000)
    assert told.startswith("there is none xxx"), "a key of four letters is no secret"
    assert len(told) == 300


# ------------------------------------------------------------------------------------------- what answers and asks are


def test_what_an_answer_means() -> None:
    counted = (10, 5, 0, 0)
    assert reply_of(Answer("yes", "m", "stop", tokens=counted)) == Reply("yes")
    assert reply_of(Answer("ye", "m", "max_tokens", tokens=counted)) == Reply("ye", finish="length")
    assert reply_of(Answer("part", "m", "content_filter", "hate", counted)) == Reply("part", "filtered", reason="hate")
    assert reply_of(Answer(" ", "m", "content_filter", "hate", counted)) == Reply("", "filtered", reason="hate")
    assert reply_of(Answer(" \n", "m", "stop", tokens=counted)).reason == "empty answer"
    assert "max_new_tokens" in reply_of(Answer("", "m", "max_tokens", tokens=counted)).reason
    assert (
        reply_of(Answer("too long", "m", "model_length", "8192 tokens")).reason == "too long for the model: 8192 tokens"
    )
    own = reply_of(Answer("", "m", "model_length", "too long for the model: 9 of 8"))  # an endpoint of ours
    assert (own.reason, own.fault) == ("too long for the model: 9 of 8", "length")
    blocked = Answer("Not here.", "m", "stop", "blocked by wall", counted, blocked=True)
    assert reply_of(blocked) == Reply("Not here.", "blocked", reason="blocked by wall")


def test_a_refusal_by_the_provider_is_neither_its_filter_nor_an_answer() -> None:
    counted = (10, 5, 0, 0)
    withheld = Answer("", "m", "stop", "I'm sorry.", counted, refused=True)
    assert reply_of(withheld) == Reply("", "refused", reason="I'm sorry.")
    partly = Answer("first", "m", "content_filter", "", counted, refused=True)
    assert reply_of(partly) == Reply("first", "refused", reason="refused by the provider")
    assert reply_of(partly).is_said
    assert reply_of(withheld).is_withheld


def test_what_a_model_thought_stays_beside_its_answer() -> None:
    counted = (10, 5, 0, 0)
    assert reply_of(Answer("yes", "m", "stop", tokens=counted, reasoning="hm")) == Reply("yes", reasoning="hm")
    cut = reply_of(Answer("", "m", "max_tokens", tokens=counted, reasoning="first I"))
    assert cut == Reply("", finish="length", reasoning="first I")
    assert not cut.is_said


def choice(stop: str = "stop", details: Any = None, **message: Any) -> Any:
    """What Inspect hands over of one answer."""
    model = pytest.importorskip("inspect_ai.model")
    made = model.ChatMessageAssistant(**message)
    return model.ChatCompletionChoice(message=made, stop_reason=stop, stop_details=details)


def test_the_parts_of_an_answer_as_inspect_hands_them_over() -> None:
    model = pytest.importorskip("inspect_ai.model")
    text, thought = model.ContentText, model.ContentReasoning
    said = said_in(choice(content=[thought(reasoning="hm"), text(text="yes")]))
    assert (said.text, said.reasoning, said.is_refused) == ("yes", "hm", False)
    hidden = said_in(choice(content=[thought(reasoning="ciphered", redacted=True, summary="in short"), text(text="y")]))
    assert (hidden.text, hidden.reasoning) == ("y", "in short")
    refused = said_in(choice(content=[text(text="I'm sorry.", refusal=True)]))
    assert (refused.text, refused.refusal, refused.is_refused) == ("", "I'm sorry.", True)
    stopped = said_in(choice("content_filter", model.StopDetails(type="refusal", category="cyber"), content="first"))
    assert (stopped.text, stopped.is_refused) == ("first", True)
    assert not said_in(choice("content_filter", model.StopDetails(type="SAFETY"), content="")).is_refused


@pytest.mark.parametrize(
    ("text", "thought", "left"),
    [
        ("<think>hm</think>", "hm", ""),
        ("\n<think>hm</think> \n", "hm", ""),
        ("<think>cut in the mid", "cut in the mid", ""),
        ("(no content)", "", ""),
        ("<think>hm</think>yes", "hm", "yes"),
        ("I <think>", "", "I <think>"),
        ("yes", "", "yes"),
        (" yes\n", "", " yes\n"),
    ],
)
def test_a_thought_is_no_answer(text: str, thought: str, left: str) -> None:
    assert thought_apart(text) == (thought, left)


@given(st.text(max_size=200))
def test_an_estimate_is_never_below_one_token_per_character_or_byte(text: str) -> None:
    assert estimate(Chat.user(text)) >= len(text.encode("utf-8", "replace"))


def test_pictures_have_an_estimate_of_their_size_or_of_the_prices_file() -> None:
    assert estimate(Chat.user(picture(side=100))) == 16 + 1500 + 20
    assert estimate(Chat.user(picture(), picture()), image_tokens=85) == 16 + 170


def test_turns_of_one_role_become_one() -> None:
    chat = Chat.user("a").ask(picture()).say("b").ask("c")
    assert [m.role for m in merged(chat).messages] == ["user", "assistant", "user"]
    assert merged(chat).messages[0].parts == ("a", picture())
    assert merged(merged(chat)) == merged(chat)


# ---------------------------------------------------------------------------------------------------------- cache


def test_only_answers_are_cached(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", {"model": "m"})
    ask = Ask(Chat.user(picture(), "what?"))
    for bad in (Reply.error("500"), Reply("cut", "filtered", reason="no"), Reply(""), Reply("stop", "blocked")):
        cache.put(ask, bad, "m")
    assert not list(tmp_path.rglob("*.json"))
    warm = Ask(ask.chat, Settings(temperature=0.7))
    cache.put(warm, Reply("yes"), "m")
    assert cache.get(warm) is None
    cache.put(ask, Reply("yes", finish="length", cost=Cost(tokens_in=5, money=1.0)), "m")
    assert cache.get(ask) == Reply("yes", finish="length", cost=Cost(queries=1))


@pytest.mark.parametrize(
    ("origin", "ask"),
    [
        ({"model": "other"}, Ask(Chat.user(picture(), "what?"))),
        ({"model": "m"}, Ask(Chat.user(picture(1), "what?"))),
        ({"model": "m"}, Ask(Chat.user(picture(), "who?"))),
        ({"model": "m"}, Ask(Chat.user("what?", picture()))),
        ({"model": "m"}, Ask(Chat.user(picture(), "what?").with_system("brief"))),
        ({"model": "m"}, Ask(Chat.user(picture(), "what?"), Settings(max_new_tokens=7))),
    ],
)
def test_an_ask_that_differs_in_anything_is_another(tmp_path: Path, origin: dict[str, str], ask: Ask) -> None:
    Cache(tmp_path, {"model": "m"}).put(Ask(Chat.user(picture(), "what?")), Reply("yes"), "m")
    assert Cache(tmp_path, origin).get(ask) is None


def test_a_damaged_file_is_no_answer(tmp_path: Path) -> None:
    cache, ask = Cache(tmp_path, {}), Ask(Chat.user("what?"))
    cache.put(ask, Reply("yes"), "m")
    for damaged in (
        '{"text": "ye',
        '{"text": 5, "finish": "stop"}',
        '{"text": "", "finish": "stop"}',
        '{"text": "yes", "finish": "perhaps"}',
        '{"text": null, "finish": null}',
        "[]",
    ):
        cache.path(ask).write_text(damaged)
        assert cache.get(ask) is None, damaged
