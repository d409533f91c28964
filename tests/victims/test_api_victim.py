"""The API victim against a loopback server that breaks on purpose: outcomes, attempts, budgets, resumes, secrets."""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="needs the extra api: pip install inspect-ai openai")
pytest.importorskip("openai", reason="needs the extra api: pip install inspect-ai openai")

import proofglass as pg
from proofglass import images
from proofglass.errors import MissingExtra, NothingMeasured, UsageError
from proofglass.interfaces import Defended
from proofglass.records.store import Store
from proofglass.registry import build
from proofglass.types import Ask, Chat, Settings
from proofglass.victims.api import ledger as ledgers
from proofglass.victims.api.ledger import Book
from proofglass.victims.inspect import ApiVictim
from victims import api_study
from victims.flaky_server import DEFAULT, LASTING, LOST, TRANSIENT, Flaky, completion, serving

KEY = "sk-test-0123456789abcdef"


@pytest.fixture
def server() -> Iterator[Flaky]:
    flaky = Flaky()
    with serving(flaky) as url:
        flaky.url = url  # type: ignore[attr-defined]
        yield flaky


@dataclass
class Says(Flaky):
    """A server that gives every request the same answer. status, text (JSON of a dict), extra: that answer."""

    status: int = 200
    text: str | dict[str, Any] = ""
    extra: dict[str, str] = field(default_factory=dict)

    async def _complete(self, body: dict[str, Any], headers: Any, reader: Any, writer: Any) -> bool:
        self.kinds["said"] += 1
        self.bodies.append(body)
        self._send(
            writer, self.status, self.text if isinstance(self.text, str) else json.dumps(self.text), extra=self.extra
        )
        await writer.drain()
        return True


@contextlib.contextmanager
def saying(text: str | dict[str, Any] = "", status: int = 200, **extra: str) -> Iterator[Says]:
    """extra: headers, - written as _."""
    says = Says(status=status, text=text, extra={name.replace("_", "-"): value for name, value in extra.items()})
    with serving(says) as url:
        says.url = url  # type: ignore[attr-defined]
        yield says


def answer(
    text: str | None = "yes", usage: tuple[int, int] = (10, 5), beside: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """A chat completion of one choice. beside: further fields of its message."""
    told = completion({"model": "m"}, "", "ok") | more
    told["choices"][0]["message"] |= {"content": text, **(beside or {})}
    return told | {"usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}}


def victim(server: Flaky, **fields: Any) -> ApiVictim:
    """A victim of this server that hardly waits between attempts."""
    values: dict[str, Any] = {"timeout_s": 10.0, "backoff_s": 0.01, "provider": "openai-compatible", "model": "m"}
    return ApiVictim(base_url=server.url, **{**values, **fields})  # type: ignore[attr-defined]


def asks(count: int, start: int = 0, **settings: Any) -> list[Ask]:
    return [Ask(Chat.user(f"What is {k}?"), Settings(**settings)) for k in range(start, start + count)]


def book(folder: Path) -> Book:
    """What the only ledger below `folder` says."""
    (path,) = folder.rglob(ledgers.FILE)
    return ledgers.read(path)[0]


# ------------------------------------------------------------------------------------------------------- one attempt


def test_the_api_gets_system_prompt_turns_pictures_and_settings(server: Flaky) -> None:
    picture = next(iter(api_study.NoisePictures(1))).chat.images[0]
    chat = Chat.user("before", picture, "after").say("I see.").ask("What colour?").with_system("Be brief.")
    settings = Settings(max_new_tokens=7, temperature=0.0, top_p=0.9, stop=("###",))
    (reply,) = victim(server, options={"seed": 5}).reply([Ask(chat, settings)])
    assert reply.outcome == "ok"
    assert (reply.cost.queries, reply.cost.tokens_in, reply.cost.tokens_out) == (1, 100, 5)
    (body,) = server.bodies
    assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "user"]
    assert body["messages"][0]["content"] == "Be brief."
    first, second, third = body["messages"][1]["content"]
    assert (first["text"], third["text"]) == ("before", "after")
    data = second["image_url"]["url"].removeprefix("data:image/png;base64,")
    assert images.decode(base64.b64decode(data), "sent") == picture
    sent = {name: body[name] for name in ("model", "max_tokens", "temperature", "top_p", "stop", "seed")}
    assert sent == {"model": "m", "max_tokens": 7, "temperature": 0.0, "top_p": 0.9, "stop": ["###"], "seed": 5}


@pytest.mark.parametrize(
    ("fate", "outcome", "finish", "reason", "paid"),
    [
        ("ok", "ok", "stop", "", False),
        ("length", "ok", "length", "", False),
        ("filter-400", "filtered", "stop", "The response was filtered by the content management policy.", False),
        ("filter-200", "filtered", "stop", "content filter", False),
        ("empty", "error", "stop", "empty answer", False),
        ("400", "error", "stop", "400: this picture is not supported", False),
        ("429", "error", "stop", "429: slow down", False),
        ("500", "error", "stop", "500: something broke", False),
        ("timeout", "error", "stop", "time-out: no answer within 0.5 s", True),
        ("reset", "error", "stop", "connection broken", True),
        ("cut", "error", "stop", "connection broken", True),
        ("truncated", "error", "stop", "malformed answer", True),
        ("malformed", "error", "stop", "malformed answer", True),
    ],
)
def test_every_way_to_end_is_one_outcome(
    server: Flaky, fate: str, outcome: str, finish: str, reason: str, paid: bool
) -> None:
    server.faults = {fate: 1.0} if fate != "ok" else {}
    asked = victim(server, attempts=1, timeout_s=0.5 if fate == "timeout" else 10.0)
    (reply,) = asked.reply(asks(1))
    assert (reply.outcome, reply.finish) == (outcome, finish)
    assert reply.reason.startswith(reason)
    assert bool(reply.text) == (outcome == "ok" or fate == "filter-200")  # that one delivers before it filters
    assert reply.cost.queries == 1
    assert server.stats()["requests"] == 1
    assert asked.card()["possibly_paid"]["calls"] == int(paid)


def test_no_malformed_answer_is_taken_for_one(server: Flaky) -> None:
    server.faults = {"malformed": 1.0}
    replies = victim(server, attempts=1).reply(asks(40))  # every kind of malformed answer is among them
    assert {reply.outcome for reply in replies} == {"error"}
    assert all(reply.reason.startswith("malformed answer: ") for reply in replies)


@pytest.mark.parametrize("usage", [(-5, -3), (-100, 5), (10**30, 5)])
def test_a_count_that_cannot_be_is_none_and_the_worst_case_stands(usage: tuple[int, int]) -> None:
    with saying(answer("yes", usage)) as server:
        asked = victim(server)
        (reply,) = asked.reply(asks(1, max_new_tokens=8))
    assert (reply.text, reply.cost.tokens_in, reply.cost.tokens_out) == ("yes", 0, 0)
    assert asked.card()["spent"]["tokens"] == 0
    # 10 bytes of text, 16 for the turn, 8 new ones
    assert asked.card()["possibly_paid"] == {"calls": 1, "tokens": 34, "money": 0.0}


def test_an_empty_answer_that_was_not_counted_may_have_been_paid() -> None:
    with saying({**answer(""), "usage": None}) as server:
        asked = victim(server)
        (reply,) = asked.reply(asks(1))
    assert reply.outcome == "error"
    assert asked.card()["possibly_paid"]["calls"] == 1


def test_what_a_defense_of_our_own_endpoint_stopped_is_blocked() -> None:
    told = {"outcome": "blocked", "decisions": [{"defense": "wall", "fired": True}, {"defense": "b", "fired": False}]}
    with saying(answer("Not here.", proofglass=told)) as server:
        (reply,) = victim(server).reply(asks(1))
    assert (reply.text, reply.outcome, reply.reason) == ("Not here.", "blocked", "blocked by wall")
    for odd in ({"outcome": "ok"}, {"outcome": "error"}, "blocked", ["blocked"], None):
        with saying(answer("Yes.", proofglass=odd)) as server:
            (reply,) = victim(server).reply(asks(1))
        assert (reply.text, reply.outcome) == ("Yes.", "ok"), odd


def test_a_refusal_by_the_provider_is_an_outcome_of_its_own() -> None:
    """OpenAI's field `refusal`; the same from an endpoint of ours, whose partial text stays."""
    with saying(answer(None, beside={"refusal": "I'm sorry."})) as server:
        (reply,) = victim(server).reply(asks(1))
    assert (reply.text, reply.outcome, reply.reason) == ("", "refused", "I'm sorry.")
    with saying(answer("sure, first", proofglass={"outcome": "refused"})) as server:
        (reply,) = victim(server).reply(asks(1))
    assert (reply.text, reply.outcome, reply.is_said) == ("sure, first", "refused", True)


def test_what_a_model_thought_is_kept_beside_its_answer_and_cut_off_in_it_there_is_none(tmp_path: Path) -> None:
    with saying(answer("<think>hm</think>yes")) as server:
        asked = victim(server, cache=tmp_path / "c")
        (reply,) = asked.reply(asks(1))
        assert (reply.text, reply.reasoning) == ("yes", "hm")
        (cached,) = victim(server, cache=tmp_path / "c").reply(asks(1))
        assert (cached.text, cached.reasoning, len(server.bodies)) == ("yes", "hm", 1)
    with saying(answer("yes", beside={"reasoning_content": "hm"})) as server:
        (reply,) = victim(server).reply(asks(1))
    assert (reply.text, reply.reasoning) == ("yes", "hm")
    with saying(answer("<think>hm")) as server:
        (reply,) = victim(server).reply(asks(1))
    assert (reply.text, reply.outcome, reply.reasoning, reply.is_said) == ("", "ok", "hm", False)


def test_a_drawn_reply_has_a_seed_of_its_own_draw() -> None:
    with saying(answer()) as server:
        for options in ({}, {"seed": 7}):
            victim(server, options=options).reply(
                [Ask(Chat.user("x"), Settings(temperature=t, draw=k)) for t in (0.0, 1.0) for k in (0, 1, 2)]
            )
    sent = [
        {(body["temperature"], body.get("seed")) for body in part} for part in (server.bodies[:6], server.bodies[6:])
    ]
    assert sent == [{(0.0, None), (1.0, 0), (1.0, 1), (1.0, 2)}, {(0.0, 7), (1.0, 7), (1.0, 8), (1.0, 9)}]


# ------------------------------------------------------------------------------------------------- several attempts


def test_a_failure_that_asks_for_no_retry_gets_none() -> None:
    with saying({"error": {"message": "the victim broke"}}, 502, x_should_retry="false") as server:
        (reply,) = victim(server, attempts=3).reply(asks(1))
    assert (reply.outcome, reply.reason) == ("error", "502: the victim broke")
    assert server.kinds.total() == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_takes_an_ask_to_another_address(status: int) -> None:
    with saying(answer("from elsewhere")) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")  # type: ignore[attr-defined]
        with saying("", status, location=f"{elsewhere}/chat/completions") as server:
            with pytest.raises(
                UsageError, match=f"{status}: redirects are not followed; this one leads to {elsewhere}"
            ):
                victim(server, attempts=3).reply(asks(1))
            assert server.kinds.total() == 1
    assert other.kinds.total() == 0


@pytest.mark.parametrize("fate", ["429", "429-after", "500", "truncated", "reset"])
def test_each_attempt_is_one_request_and_one_line(server: Flaky, tmp_path: Path, fate: str) -> None:
    server.faults = {fate: 1.0}
    (reply,) = victim(server, attempts=3, ledger=tmp_path).reply(asks(1))
    assert reply.reason.endswith("(3 attempts)")
    assert server.stats()["requests"] == 3, "somebody else retried"
    assert book(tmp_path).settled.calls == 3


@pytest.mark.parametrize("fate", ["400", "filter-400", "empty"])
def test_what_will_not_change_is_not_asked_again(server: Flaky, fate: str) -> None:
    server.faults = {fate: 1.0}
    victim(server, attempts=3).reply(asks(1))
    assert server.stats()["requests"] == 1


def test_a_server_that_wants_hours_of_rest_is_left_alone(server: Flaky) -> None:
    server.faults, server.retry_after = {"429-after": 1.0}, "7200"
    (reply,) = victim(server, longest_wait_s=60.0).reply(asks(1))
    assert reply.reason == "429: slow down (the server asks to wait 7200 s)"
    assert server.stats()["requests"] == 1


def test_answers_come_back_in_order_over_all_faults(server: Flaky) -> None:
    server.seed, server.faults = 3, {name: 0.05 for name in TRANSIENT if name != "timeout"}
    replies = victim(server, attempts=12, connections=20).reply(asks(60))
    again = victim(server, attempts=12).reply(asks(60))
    assert [reply.text for reply in replies] == [reply.text for reply in again]
    assert len({reply.text for reply in replies}) == 60


# ------------------------------------------------------------------------------------------------ keys, what is missing


def test_a_wrong_key_ends_the_batch_and_is_written_nowhere(
    server: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", KEY)
    server.key = "another key"
    with pytest.raises(NothingMeasured) as caught:
        api_study.run(server.url, str(tmp_path / "run"), 20, auth_env="MY_TOKEN", connections=2)  # type: ignore[attr-defined]
    assert "the API refuses every ask: 401: Incorrect API key provided: ***." in str(caught.value)
    assert server.authorised == {f"Bearer {KEY}"}
    assert server.stats()["requests"] <= 2, "asks went on after the key was refused"
    assert_absent(KEY, tmp_path)


def test_a_right_key_is_written_nowhere(server: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", KEY)
    server.key, server.faults = KEY, {"500": 0.2, "filter-400": 0.2}
    api_study.run(server.url, str(tmp_path / "run"), 10, auth_env="MY_TOKEN", cache=tmp_path / "cache")  # type: ignore[attr-defined]
    assert server.stats()["answered"] > 0
    assert any((tmp_path / "cache").rglob("*.json"))
    assert_absent(KEY, tmp_path)


def test_a_key_that_a_server_repeats_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", KEY)
    with saying(answer(f"your key is {KEY}", model=f"m-{KEY}")) as server:
        asked = victim(server, auth_env="MY_TOKEN", ledger=tmp_path / "ledger", cache=tmp_path / "cache")
        (reply,) = asked.reply(asks(1))
    assert reply.text == "your key is ***"
    assert asked.card()["reported_models"] == {"m-***": 1}
    assert_absent(KEY, tmp_path)


@pytest.mark.parametrize("key", ["sk-line\nbreak-0123", "sk-\N{EURO SIGN}-0123456789", "sk-carriage-return\r"])
def test_a_key_that_no_header_holds_is_said_before_anything_is_sent(
    server: Flaky, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("MY_TOKEN", key)
    with pytest.raises(UsageError, match="MY_TOKEN: expected ASCII") as caught:
        victim(server, auth_env="MY_TOKEN").reply(asks(1))
    assert key not in str(caught.value)
    assert server.stats()["requests"] == 0


def assert_absent(secret: str, folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert secret.encode() not in path.read_bytes(), path


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ACME_API_KEY", "VLLM_BASE_URL", "NO_SUCH_KEY"):
        monkeypatch.delenv(name, raising=False)
    wanted = {
        "openai/gpt-4o": "no API key. Set the environment variable OPENAI_API_KEY",
        "openai-api/acme/x": "no API key. Set the environment variable ACME_API_KEY",
        "vllm/x": "set VLLM_BASE_URL",
        "nobody/x": "Expected provider/model",
    }
    for model, told in wanted.items():
        with pytest.raises(UsageError, match=told):
            ApiVictim(model).reply(asks(1))
    with pytest.raises(UsageError, match="NO_SUCH_KEY"):
        ApiVictim("openai/gpt-4o", auth_env="NO_SUCH_KEY").reply(asks(1))


@pytest.mark.parametrize(("package", "model"), [("inspect_ai.model", "openai/gpt-4o"), ("openai", "openai/gpt-4o")])
def test_a_missing_package_is_named_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch, package: str, model: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"pip install .*openai"):
        ApiVictim(model).reply(asks(1))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": "gpt-4o"}, "model: expected provider/name"),
        ({"model": "a/b", "base_url": "127.0.0.1:8000"}, "base_url: expected an address"),
        ({"model": "a/b", "base_url": "http://me:secret@host/v1"}, "base_url: expected no user or password"),
        ({"model": "a/b", "auth_env": KEY}, "auth_env: expected the name of an environment variable"),
        ({"model": "a/b", "connections": 0}, "connections: expected at least 1"),
        ({"model": "a/b", "budget_calls": 0}, "budget_calls: expected more than 0"),
        ({"model": "a/b", "budget_usd": float("nan")}, "budget_usd: expected more than 0, found nan"),
        ({"model": "a/b", "attempts": float("nan")}, "attempts: expected at least 1, found nan"),
    ],
)
def test_a_field_that_cannot_be_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ApiVictim(**fields)


def test_an_unknown_option_is_refused_before_anything_is_sent(server: Flaky) -> None:
    for name in ("colour", "max_retries", "temperature"):
        with pytest.raises(UsageError, match=f"options.{name}: no such option here"):
            victim(server, options={name: 1}).reply(asks(1))
    assert server.stats()["requests"] == 0


def test_a_budget_in_dollars_needs_a_price() -> None:
    with pytest.raises(UsageError, match="no price of 'vllm/x', and budget_usd is set"):
        ApiVictim("vllm/x", budget_usd=1.0)


# ----------------------------------------------------------------------------------------------------------- budgets


@pytest.fixture
def priced(tmp_path: Path) -> Path:
    """1,000 USD per million tokens: an answer of the server (100 in, 5 out) costs 0.105 USD."""
    path = tmp_path / "prices.yaml"
    path.write_text("models:\n  openai-compatible/m: {input: 1000, output: 1000, image_tokens: 10}\n")
    return path


def test_money_is_counted(server: Flaky, priced: Path) -> None:
    asked = victim(server, prices=priced)
    replies = asked.reply(asks(3))
    assert [reply.cost.money for reply in replies] == pytest.approx([0.105] * 3)
    assert asked.card()["spent"] == {"calls": 3, "tokens": 315, "money": pytest.approx(0.315)}
    assert asked.card()["money"] == {"spent": pytest.approx(0.315), "possibly_paid": 0, "cap": None, "currency": "USD"}


def test_money_of_an_unknown_price_is_not_told_as_0(server: Flaky) -> None:
    asked = victim(server)
    asked.reply(asks(1))
    assert "money" not in asked.card()


# The estimate of a question is 16 + 10 tokens; the first answer shows that the API counts 100, and 26 more may come.
@pytest.mark.parametrize(
    ("budget", "most"), [({"budget_calls": 4}, 4), ({"budget_tokens": 500}, 4), ({"budget_usd": 0.5}, 4)]
)
def test_a_budget_is_never_exceeded_and_survives_a_resume(
    server: Flaky, priced: Path, tmp_path: Path, budget: dict[str, Any], most: int
) -> None:
    fields = {"prices": priced, "ledger": tmp_path / "l", "connections": 1}
    first = victim(server, **fields, **budget)
    replies = first.reply(asks(10, max_new_tokens=16))
    assert Counter(reply.outcome for reply in replies) == {"ok": most, "error": 10 - most}
    assert server.stats()["requests"] == most
    unsent = [reply for reply in replies if reply.outcome == "error"]
    assert all(reply.reason.startswith("budget of ") and reply.cost.queries == 0 for reply in unsent)
    # 4 answers of 105 tokens and 105 thousandths of a dollar each; the worst case of another is 100 + 16.
    gone = {
        "budget_calls": "budget of 4 calls: 4 spent so far, 0 possibly paid, and the next ask may cost 1",
        "budget_tokens": "budget of 500 tokens: 420 spent so far, 0 possibly paid, and the next ask may cost 116",
        "budget_usd": "budget of 0.5 USD: 0.42 spent so far, 0 possibly paid, and the next ask may cost 0.116",
    }
    assert unsent[-1].reason == f"{gone[next(iter(budget))]}: not sent"
    del first
    gc.collect()
    again = victim(server, **fields, **budget).reply(asks(10, start=20, max_new_tokens=16))
    assert {reply.outcome for reply in again} == {"error"}
    assert server.stats()["requests"] == most, "sent, although nothing was left"
    bill = book(tmp_path / "l").settled
    assert bill.calls <= 4
    assert bill.tokens <= 500
    assert bill.money <= 0.5


def test_attempts_that_fail_use_up_the_calls(server: Flaky) -> None:
    server.faults = {"500": 1.0}
    replies = victim(server, attempts=3, connections=1, budget_calls=4).reply(asks(2))
    assert server.stats()["requests"] == 4
    assert [reply.outcome for reply in replies] == ["error", "error"]
    assert any("no further attempt after 500: something broke" in reply.reason for reply in replies)


def test_a_time_out_counts_at_its_worst_case(server: Flaky, priced: Path) -> None:
    server.faults = {"timeout": 1.0}
    asked = victim(server, prices=priced, attempts=1, timeout_s=0.3, budget_usd=0.1, connections=1)
    replies = asked.reply(asks(3, max_new_tokens=16))  # 26 + 16 tokens: 0.042 USD each at the worst
    assert server.stats()["requests"] == 2
    assert [bool(reply.cost.queries) for reply in replies].count(False) == 1
    assert asked.card()["possibly_paid"] == {"calls": 2, "tokens": 84, "money": pytest.approx(0.084)}
    assert asked.card()["money"]["possibly_paid"] == pytest.approx(0.084)
    (unsent,) = (reply.reason for reply in replies if not reply.cost.queries)
    assert unsent.startswith("budget of 0.1 USD: 0 spent so far, 0.084 possibly paid, and the next ask may cost 0.042")


def test_a_larger_budget_goes_on_and_nothing_answered_is_asked_again(server: Flaky, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    with pytest.raises(
        NothingMeasured, match=r"1 of 1 cells are not finished.*14 asks were not sent; budget of 6 calls"
    ):
        api_study.run(server.url, out, 20, budget_calls=6)  # type: ignore[attr-defined]
    assert server.stats()["requests"] == 6
    frame, (cell,) = Store(out).frame(), Store(out).cells()
    assert Counter(frame["outcome"]) == {"ok": 6}, "what was not sent is no failure: it has no record"
    assert (cell["status"], cell["planned"], cell["unsent"]) == ("pending", 20, 14)
    rates = api_study.run(server.url, out, 20, budget_calls=25)  # type: ignore[attr-defined]
    assert rates["not-refused"].n == 20
    assert (server.stats()["requests"], server.stats()["doubled"]) == (20, 0)


# ---------------------------------------------------------------------------------------------------- cache, identity


def test_the_cache_serves_answers_and_never_faults(server: Flaky, tmp_path: Path) -> None:
    server.seed, server.faults = 1, {"empty": 0.2, "filter-400": 0.2, "400": 0.2}
    first = victim(server, cache=tmp_path / "c").reply(asks(30))
    good = sum(reply.outcome == "ok" for reply in first)
    assert 0 < good < 30
    second = victim(server, cache=tmp_path / "c").reply(asks(30))
    assert [(r.text, r.outcome) for r in second] == [(r.text, r.outcome) for r in first]
    assert server.stats()["requests"] == 30 + (30 - good)
    assert sum(reply.cost.tokens_in for reply in second if reply.outcome == "ok") == 0
    victim(server, cache=tmp_path / "c", options={"seed": 1}).reply(asks(30))
    assert server.stats()["requests"] == 90 - good, "another option, and yet from the cache"


def test_an_answer_belongs_to_its_run(server: Flaky, tmp_path: Path) -> None:
    for k in (1, 2):
        api_study.run(server.url, str(tmp_path / f"run{k}"), 5)  # type: ignore[attr-defined]
        assert server.stats()["answered"] == 5 * k
    one, two = (Store(tmp_path / f"run{k}").manifest() for k in (1, 2))
    assert one["run"] != two["run"]
    assert one["plugs"]["victims"]["api"]["key"] != two["plugs"]["victims"]["api"]["key"]
    api_study.run(server.url, str(tmp_path / "run1"), 5)  # type: ignore[attr-defined]
    assert server.stats()["answered"] == 10
    again = Store(tmp_path / "run1").manifest()
    assert (again["run"], again["plugs"]) == (one["run"], one["plugs"])


def test_the_key_holds_the_run_and_not_the_budget(tmp_path: Path) -> None:
    bare = ApiVictim("vllm/x")
    here, there = bare.in_run(tmp_path, "run a"), bare.in_run(tmp_path, "run b")
    assert len({bare.key, here.key, there.key}) == 3
    richer = ApiVictim("vllm/x", budget_calls=5, connections=3, attempts=2).in_run(tmp_path, "run a")
    assert richer.key == here.key
    assert here.key == bare.in_run(tmp_path / "moved", "run a").key
    defense = build("defenses", "self-moderation")
    defended = Defended(bare, defense).in_run(tmp_path, "run a")
    assert defended.key == Defended(here, defense).key


def test_the_card_says_what_the_api_called_its_model_and_what_was_spent(server: Flaky, tmp_path: Path) -> None:
    server.seed, server.faults = 1, {"filter-200": 0.4}
    rates = api_study.run(server.url, str(tmp_path / "run"), 10)  # type: ignore[attr-defined]
    card = Store(tmp_path / "run").manifest()["cards"]["api"]
    assert card["reported_models"] == {"m-2026-01-01": 10}
    assert card["spent"]["calls"] == 10
    assert card["price"] == "unknown"
    assert "unknown" in " ".join(card["caveats"])
    assert rates["not-refused"].filtered == server.stats()["kinds"]["filter-200"] > 0


def test_it_answers_inside_a_running_event_loop(server: Flaky) -> None:
    import asyncio

    async def notebook() -> str:
        return victim(server).reply(asks(1))[0].outcome

    assert asyncio.run(notebook()) == "ok"


# ------------------------------------------------------------------------------------------------------- kill, resume


@pytest.mark.parametrize("n", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_killed_midway_and_resumed_every_sample_has_one_outcome(tmp_path: Path, n: int) -> None:
    server = Flaky(seed=1, faults=DEFAULT, latency_s=0.02)
    out = tmp_path / "run"
    with serving(server) as url:
        command = [sys.executable, api_study.__file__, url, str(out), str(n)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
            while child.poll() is None and server.answers.total() < 0.4 * n:
                time.sleep(0.005)
            child.send_signal(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL, child.stderr and child.stderr.read()
        under_way = len(book(out).open)
        assert 0 < under_way <= api_study.CONNECTIONS
        api_study.run(url, str(out), n)
        told = server.stats()

    # Every sample once, with the outcome that the server's seed holds for it.
    frame, fates = Store(out).frame(), told["fates"]
    assert frame.height == frame["sample_id"].n_unique() == n
    ended = Counter(zip(frame["outcome"], frame["finish"], (r.split(":")[0] for r in frame["reason"]), strict=True))
    assert ended["ok", "stop", ""] == fates["ok"]
    assert ended["ok", "length", ""] == fates["length"]
    assert sum(count for key, count in ended.items() if key[0] == "filtered") == sum(
        fates.get(name, 0) for name in LASTING if name.startswith("filter")
    )
    assert ended["error", "stop", "empty answer"] == fates["empty"]
    assert ended["error", "stop", "400"] == fates["400"]
    assert sum(ended.values()) == sum(fates.values()) == n

    # What the server answered and the ledger lacks was broken on its way, or under way at the kill.
    after = book(out)
    recorded = sum(1 for line in _lines(out) if line["do"] == "answered" and line["tokens_in"])
    unrecorded = told["answered"] + sum(told["kinds"].get(name, 0) for name in LOST) - recorded
    broken = after.failures["time-out"] + after.failures["connection broken"]
    assert unrecorded <= broken + under_way
    # It counts as possibly paid, and so does every answer that could not be read.
    possibly = after.possibly.calls + len(after.open)
    assert possibly == broken + after.failures["malformed answer"] + under_way
    assert told["doubled"] <= under_way
    print(
        f"{n} samples: {dict(ended)}\nserver: {told}\nledger: {len(_lines(out))} lines, {recorded} answers recorded, "
    )
    print(f"{unrecorded} not, {broken} broken, {under_way} under way at the kill, {possibly} possibly paid")


def _lines(folder: Path) -> list[dict[str, Any]]:
    import json

    (path,) = folder.rglob(ledgers.FILE)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_python_words_know_it() -> None:
    made = pg.victim("openai-compatible", model="m", base_url="http://127.0.0.1:1/v1")
    assert made.full_name == "openai-compatible/m"
    assert pg.victim("api", model="openai/gpt-4o").key != made.key
