"""The process around the application: the socket, uvicorn, and patience with slow callers. Loaded on first use."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from proofglass.errors import UsageError
from proofglass.serve.limits import Limits

_PROBE_S = 0.1  # between looks whether a caller who sends nothing more is still there


class Patient(H11Protocol):
    """uvicorn's HTTP/1.1, which waits without end for headers and for callers that do not read; this one does not.

    A connection has `limits.header_s` to bring the headers of a request (or the rest of a body that nobody wants), and
    `limits.body_s` to take what it is sent. Beyond `limits.connections` of them, new ones are closed.

    A caller who closes its sending half after a request (`nc -N`) gets its answer; one who is gone looks the same at
    first. Which it is shows when something is sent: an interim answer, which every HTTP/1.1 client reads over and which
    the system of one who is gone turns down.
    """

    def __init__(self, *args: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*args, **named)
        self.limits = limits
        self._listening: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._probing: asyncio.TimerHandle | None = None
        self._half_closed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._listening, self._writing, self._probing):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing = self.loop.call_later(self.limits.body_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._writing:
            self._writing.cancel()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether to keep the connection: a whole request is being answered."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return False
        self._half_closed = True
        if self.scope["http_version"] == "1.1":
            if not cycle.response_started:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._probe()
        return True

    def _probe(self) -> None:
        """Nothing is read any more, so that a caller who is gone is found by asking."""
        if self.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        else:
            self._probing = self.loop.call_later(_PROBE_S, self._probe)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._half_closed and self.cycle.response_complete:  # no further request stood behind it
            self.transport.close()

    def _watch(self) -> None:
        """The clock runs while no request is being served; a request that is complete stops it."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self._listening:
                self._listening.cancel()
            self._listening = None
        elif self._listening is None:
            self._listening = self.loop.call_later(self.limits.header_s, self.transport.abort)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port` (0: a free one). Raises UsageError, which says why it cannot be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        bound = socket.socket(found[0][0], socket.SOCK_STREAM)
        with contextlib.suppress(OSError):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(found[0][4])
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"--host {host} --port {port}: cannot be listened on: {why}") from error
    return bound


def is_loopback(bound: socket.socket) -> bool:
    """Whether only this machine reaches `bound`."""
    return ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def address(bound: socket.socket) -> str:
    """URL of `bound`, without a path."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server(app: Any, limits: Limits) -> uvicorn.Server:
    """uvicorn around `app`: one process, HTTP/1.1 without extras, its own log silent."""
    config = uvicorn.Config(
        app,
        http=functools.partial(Patient, limits=limits),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="critical",  # its tracebacks may hold what was asked; failures are logged by `Guard`
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=round(limits.deadline_s) + 1,
    )
    return uvicorn.Server(config)
