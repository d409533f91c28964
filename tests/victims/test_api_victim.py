"""The API victim against a loopback server that breaks on purpose: outcomes, attempts, cache, identity, a kill."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="needs the extra api: pip install inspect-ai openai")
pytest.importorskip("openai", reason="needs the extra api: pip install inspect-ai openai")

import proofglass as pg
from proofglass import images
from proofglass.errors import UsageError
from proofglass.interfaces import Defended
from proofglass.records.store import Store
from proofglass.registry import build
from proofglass.types import Ask, Chat, Settings
from proofglass.victims.api import ledger as ledgers
from proofglass.victims.inspect import ApiVictim
from victims import api_study
from victims.api_victims import answer, asks, book, saying, victim
from victims.flaky_server import DEFAULT, LASTING, LOST, TRANSIENT, Flaky, serving

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
