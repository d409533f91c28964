"""What stands before the application, where the application fails it: every call ends in one answer, or in none."""

from __future__ import annotations

import asyncio
import json

import pytest

from proofglass.serve.guard import Guard
from serve.live import TOKEN


def called(app, *, cancel: bool = False, deadline_s: float = 30.0) -> list[dict]:
    """What is sent for one call of `app` behind a guard."""
    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    async def once():
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
        scope = {"type": "http", "method": "GET", "path": "/v1/models", "headers": headers}
        guard = Guard(app, token=TOKEN, hosts={"localhost"}, deadline_s=deadline_s)
        call = asyncio.create_task(guard(scope, None, send))
        await asyncio.sleep(0)
        if cancel:
            call.cancel()
        await call

    asyncio.run(once())
    return sent


async def waits(scope, receive, send):
    await asyncio.Event().wait()


async def breaks(scope, receive, send):
    raise RuntimeError("my secret")


async def begins_and_breaks(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise RuntimeError("my secret")


async def times_out_itself(scope, receive, send):
    raise TimeoutError


@pytest.mark.parametrize(
    ("app", "options", "status", "code"),
    [
        (waits, {"cancel": True}, 503, "stopping"),
        (waits, {"deadline_s": 0.05}, 504, "deadline_exceeded"),
        (breaks, {}, 500, "internal_error"),
        (times_out_itself, {}, 500, "internal_error"),
    ],
)
def test_a_call_without_an_answer_gets_one(app, options, status, code):
    start, body = called(app, **options)
    assert start["status"] == status
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()
    error = json.loads(body["body"])["error"]
    assert error["code"] == code
    assert "secret" not in error["message"]


def test_an_answer_that_has_begun_is_left_unfinished():
    assert [message.get("body") for message in called(begins_and_breaks)] == [None, b"half"]


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_only_http_is_answered_by_it(kind):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(Guard(app, token=TOKEN, hosts=None, deadline_s=1)({"type": kind}, None, None))
    assert seen == [kind]
