"""A loopback server that speaks OpenAI's chat completions and breaks on purpose, by seed.

What becomes of a request depends on the seed, on what is asked and on how often it was asked before, not on the order
of arrival: the same asks meet the same faults in any run. Run it as a thread (`serving`) or as a program.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import socket
import struct
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# Of each attempt: no answer comes back, another attempt may succeed.
TRANSIENT = ("429", "429-after", "500", "timeout", "reset", "cut", "truncated", "malformed")
# Of each question: the same in every attempt.
LASTING = ("filter-400", "filter-200", "empty", "length", "400")
# The answer was made (and would be billed), and the client cannot know.
LOST = ("timeout", "reset", "cut")
DEFAULT = {
    "429": 0.03,
    "429-after": 0.02,
    "500": 0.03,
    "timeout": 0.01,
    "reset": 0.02,
    "cut": 0.01,
    "truncated": 0.02,
    "malformed": 0.02,
    "filter-400": 0.02,
    "filter-200": 0.01,
    "empty": 0.01,
    "length": 0.02,
    "400": 0.01,
}
MALFORMED = (
    '{"choices": [oops',
    '{"object": "chat.completion"}',
    "[]",
    '"a text"',
    "<html>busy</html>",
    '{"choices": []}',
    '{"choices": [{}]}',
)


@dataclass
class Flaky:
    """faults: name -> rate. latency_s: before every answer. key: the only API key it takes, "" for any.
    retry_after: header of "429-after". usage: whether answers count their tokens."""

    seed: int = 0
    faults: Mapping[str, float] = field(default_factory=dict)
    latency_s: float = 0.0
    key: str = ""
    retry_after: str = "0.05"
    usage: bool = True
    seen: Counter[str] = field(default_factory=Counter)  # question -> attempts
    answers: Counter[str] = field(default_factory=Counter)  # question -> whole answers sent
    kinds: Counter[str] = field(default_factory=Counter)  # what became of the requests
    authorised: set[str] = field(default_factory=set)  # Authorization headers seen
    bodies: list[dict[str, Any]] = field(default_factory=list)  # of the first 50 requests

    def lasting(self, question: str) -> str:
        return self._draw(question, LASTING)

    def transient(self, question: str, attempt: int) -> str:
        return self._draw(f"{question}:{attempt}", TRANSIENT)

    def _draw(self, what: str, names: tuple[str, ...]) -> str:
        rates = [self.faults.get(name, 0.0) for name in names]
        return random.Random(f"{self.seed}:{what}").choices((*names, "ok"), (*rates, 1 - sum(rates)))[0]

    def stats(self) -> dict[str, Any]:
        """requests: all; answered: whole answers sent; lost: answers made whose way back was broken; doubled:
        questions answered again; fates: what in the end becomes of the questions seen, by what lasts."""
        return {
            "requests": self.kinds.total(),
            "answered": self.answers.total(),
            "lost": sum(self.kinds[name] for name in LOST),
            "doubled": sum(count - 1 for count in self.answers.values() if count > 1),
            "kinds": dict(self.kinds),
            "fates": dict(Counter(self.lasting(question) for question in self.seen)),
        }

    # ------------------------------------------------------------------------------------------------------ serving

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if first.startswith("GET /stats"):
                    self._send(writer, 200, json.dumps(self.stats()))
                    await writer.drain()
                elif not await self._complete(json.loads(body), headers, reader, writer):
                    break
        writer.close()

    async def _complete(
        self, body: dict[str, Any], headers: Mapping[str, str], reader: asyncio.StreamReader, writer: Any
    ) -> bool:
        """Answer one request; False: the connection is of no more use."""
        self.authorised.add(headers.get("authorization", ""))
        if len(self.bodies) < 50:
            self.bodies.append(body)
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            self.kinds["401"] += 1
            given = headers.get("authorization", "").removeprefix("Bearer ")
            self._error(writer, 401, "invalid_api_key", f"Incorrect API key provided: {given}.")
            return True
        question = hashlib.sha256(json.dumps(body["messages"], sort_keys=True).encode()).hexdigest()[:16]
        self.seen[question] += 1
        fate = self.transient(question, self.seen[question])
        fate = self.lasting(question) if fate == "ok" else fate
        if self.latency_s and not fate.startswith("4"):
            await asyncio.sleep(self.latency_s)
        self.kinds[fate] += 1
        answer = json.dumps(completion(body, question, fate, self.usage))
        if fate in ("429", "429-after"):
            extra = {"retry-after": self.retry_after} if fate == "429-after" else {}
            self._error(writer, 429, "rate_limit_exceeded", "slow down", extra)
        elif fate == "500":
            self._error(writer, 500, "server_error", "something broke")
        elif fate == "400":
            self._error(writer, 400, "invalid_value", "this picture is not supported")
        elif fate == "filter-400":
            self._error(writer, 400, "content_filter", "The response was filtered by the content management policy.")
        elif fate == "timeout":
            await reader.read()  # until the client gives up
            return False
        elif fate == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        elif fate == "cut":
            self._send(writer, 200, answer[: len(answer) // 2], length=len(answer))
            await writer.drain()
            return False
        elif fate == "truncated":
            self._send(writer, 200, answer[: len(answer) // 2])
        elif fate == "malformed":
            self._send(writer, 200, MALFORMED[int(question, 16) % len(MALFORMED)])
        else:
            self.answers[question] += 1
            self._send(writer, 200, answer)
        await writer.drain()
        return True

    def _error(self, writer: Any, status: int, code: str, message: str, extra: Mapping[str, str] | None = None) -> None:
        kind = "invalid_request_error" if status < 429 else "server_error"
        told = {"error": {"message": message, "type": kind, "code": code, "param": None}}
        self._send(writer, status, json.dumps(told), extra=extra)

    @staticmethod
    def _send(
        writer: Any, status: int, body: str, length: int | None = None, extra: Mapping[str, str] | None = None
    ) -> None:
        headers = {"content-type": "application/json", "content-length": str(length or len(body.encode()))}
        lines = [f"HTTP/1.1 {status} X", *(f"{k}: {v}" for k, v in {**headers, **(extra or {})}.items())]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body.encode())


def completion(body: Mapping[str, Any], question: str, fate: str, usage: bool = True) -> dict[str, Any]:
    """The answer to a request: the name of the question, word by word, cut at max_tokens."""
    words = ["answer", "to", question, "ends", "here"]
    limit = body.get("max_tokens") or body.get("max_completion_tokens") or 1000
    cut = fate == "length" or limit < len(words)
    text = " ".join(words[: min(limit, 3)] if cut else words)
    reason = "content_filter" if fate == "filter-200" else "length" if cut else "stop"
    message = {"role": "assistant", "content": "" if fate == "empty" else text}
    told = {
        "id": f"chatcmpl-{question}",
        "object": "chat.completion",
        "created": 0,
        "model": f"{body['model']}-2026-01-01",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
    }
    if usage:
        tokens_in, tokens_out = 100, len(text.split())
        counted = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
        told["usage"] = counted
    return told


@contextlib.contextmanager
def serving(server: Flaky) -> Iterator[str]:
    """`server` on a loopback port, in a thread; gives its base URL."""
    loop = asyncio.new_event_loop()
    started = loop.run_until_complete(asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**26))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{started.sockets[0].getsockname()[1]}/v1"
    finally:
        loop.call_soon_threadsafe(started.close)
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_all() -> None:
    """End the connections that are still open."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def program(**settings: Any) -> Iterator[str]:
    """The same in a process of its own, which no client shares its core's lock with; gives its base URL."""
    with subprocess.Popen(
        [sys.executable, __file__, json.dumps(settings)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def stats(base_url: str) -> dict[str, Any]:
    """What the server at `base_url` has counted so far."""
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/stats") as answer:
        return json.loads(answer.read())


async def _main(settings: dict[str, Any]) -> None:
    server = await asyncio.start_server(Flaky(**settings).serve, "127.0.0.1", 0, limit=2**26)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {"faults": DEFAULT}))
