"""A real server on a free port in a thread, a victim whose every answer is known, and sockets that misbehave."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from proofglass.images import encode
from proofglass.interfaces import Victim
from proofglass.serve import Limits, create_app
from proofglass.serve import server as http
from proofglass.serve.batching import Batcher
from proofglass.types import Ask, Cost, Image, Reply

TOKEN = "a-token-of-the-tests"
PATH = "/v1/chat/completions"


@dataclass(eq=False)
class Teller(Victim):
    """answer: what it says to an ask. batches: what it was asked, batch by batch. While `held`, it waits."""

    answer: Callable[[Ask], Reply] = lambda ask: Reply(ask.chat.last_text.upper(), cost=Cost(1, 0, 1, 7, 3))
    batches: list[list[Ask]] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    threads: set[str] = field(default_factory=set)

    name = "teller"
    key = "teller"

    def __post_init__(self) -> None:
        self.held.set()  # set: it answers

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self.batches.append(list(asks))
        self.threads.add(threading.current_thread().name)
        self.begun.set()
        assert self.held.wait(30)
        return [self.answer(ask) for ask in asks]

    @property
    def asked(self) -> list[str]:
        return [ask.chat.last_text for batch in self.batches for ask in batch]


@dataclass(frozen=True)
class Live:
    """A server that runs. port: on 127.0.0.1; batcher: None where it runs in another process."""

    port: int
    batcher: Batcher | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # verify=False: plain HTTP; reading the certificates of the system for each call would take longer than the call.
    def post(self, body: Any = None, *, path: str = PATH, headers: dict[str, Any] | None = None) -> httpx.Response:
        """POST of a dict as JSON, or of bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **(headers or {})}
        return httpx.post(self.url + path, content=content, headers=sent, timeout=30, verify=False)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(
            self.url + path, headers={"Authorization": f"Bearer {TOKEN}", **headers}, timeout=30, verify=False
        )

    def openai(self, **options: Any) -> Any:
        from openai import OpenAI

        return OpenAI(**{"base_url": f"{self.url}/v1", "api_key": TOKEN, "max_retries": 0, "timeout": 30, **options})

    def connect(self, *, window: int = 0) -> socket.socket:
        """window: bytes that the system takes in for a caller who does not read; 0: as many as it likes."""
        connection = socket.socket()
        if window:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self.port))
        return connection


@contextlib.contextmanager
def serving(victim: Victim, limits: Limits | None = None, **options: Any) -> Iterator[Live]:
    """`victim` on a free port; at the end the server stops by itself, which is asserted."""
    limits = limits or Limits()
    with http.listen("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        app = create_app(victim, **{"token": TOKEN, "limits": limits, **options})
        server = http.server(app, limits)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            assert until(lambda: server.started)
            yield Live(port, app.state.batcher)
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the server did not stop"


def until(true: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether `true` became so."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return true()


def says(text: str, **more: Any) -> dict[str, Any]:
    """A request of one user message."""
    return {"model": "teller", "messages": [{"role": "user", "content": text}], **more}


def shows(url: str, **more: Any) -> dict[str, Any]:
    """A request of one picture and a question."""
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "what is it?"}]
    return {"model": "teller", "messages": [{"role": "user", "content": parts}], **more}


def picture(seed: int = 0, side: int = 8) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def data_url(data: bytes | Image, kind: str = "png") -> str:
    import base64

    raw = encode(data) if isinstance(data, Image) else data
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"


def head(length: int | None, *more: str, token: str = TOKEN) -> bytes:
    """The headers of a chat request. length: Content-Length, None: chunked."""
    size = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
    lines = [f"POST {PATH} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", size]
    return "\r\n".join([*lines, f"Authorization: Bearer {token}", *more, "", ""]).encode()


def everything(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            found += piece
    return found
