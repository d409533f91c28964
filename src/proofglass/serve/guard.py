"""What stands before the application: who may call, how long a call may take, and one line in the log for each.

Pure ASGI, so that a body is not read before its caller is known.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Collection
from typing import Any

from proofglass.console import visible
from proofglass.serve.problems import Problem, stopping

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_OPEN = ("/health",)  # without a token
_HEADER_BYTES = 16 * 1024
_CLOSE = {"Connection": "close"}
_log = logging.getLogger("proofglass.serve")


class Guard:
    """ASGI middleware. token: what every caller sends; hosts: names under which the server may be called, None: any.

    The check of names stops DNS rebinding: a page whose own name is made to point here still sends that name.
    """

    def __init__(self, app: Any, *, token: str, hosts: Collection[str] | None, deadline_s: float) -> None:
        self.app, self.deadline_s = app, deadline_s
        self._token = token.encode()
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, sent = time.monotonic(), _Sent(send)
        try:
            await self._through(scope, receive, sent)
        except Problem as problem:
            await sent.problem(problem)
        finally:
            where = visible(scope["path"])[:200]
            _log.info("%s %s %s %.3f s", scope["method"], where, sent.line(), time.monotonic() - began)

    async def _through(self, scope: Any, receive: Any, sent: _Sent) -> None:
        """Raises Problem where the application gave no answer."""
        self._admit(scope)
        limit = asyncio.timeout(self.deadline_s)
        try:
            async with limit:
                await self.app(scope, receive, sent)
        except Problem:
            raise
        except asyncio.CancelledError:  # a stop that does not wait
            raise stopping() from None
        except Exception as error:
            if limit.expired():
                message = f"not answered within {self.deadline_s:g} s"
                raise Problem(504, message, kind="timeout_error", code="deadline_exceeded") from None
            _log.error("%s in %s", type(error).__name__, _place(error))  # its message may hold what was asked
            message = "the server failed; its log says where"
            raise Problem(500, message, kind="server_error", code="internal_error") from error

    def _admit(self, scope: Any) -> None:
        if sum(len(key) + len(value) for key, value in scope["headers"]) > _HEADER_BYTES:
            raise Problem(
                431, f"the headers are larger than {_HEADER_BYTES} bytes", code="headers_too_large", headers=_CLOSE
            )
        if _headers(scope, b"content-length") and _headers(scope, b"transfer-encoding"):
            # A proxy may believe the one and we the other: what it takes for a body would be a request to us.
            raise Problem(
                400, "Content-Length and Transfer-Encoding exclude each other", code="invalid_headers", headers=_CLOSE
            )
        if self._hosts is not None and _host(scope) not in self._hosts:
            message = "called under a name that is not this server's (header Host)"
            raise Problem(403, message, code="host_not_allowed")
        if _headers(scope, b"origin"):
            raise Problem(403, "pages in a browser may not call this endpoint (header Origin)", code="origin_refused")
        if scope["path"] in _OPEN:
            return
        scheme, _, given = b"".join(_headers(scope, b"authorization")).partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            message = "no valid token: send the header 'Authorization: Bearer TOKEN' (api_key of the client)"
            raise Problem(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


class _Sent:
    """`send`, and what of the answer has left."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self.status = 0
        self.outcome = ""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            found = [value for key, value in message["headers"] if key.lower() == b"x-proofglass-outcome"]
            self.outcome = found[0].decode() if found else ""
        await self._send(message)

    async def problem(self, problem: Problem) -> None:
        """Answer with `problem`; where an answer has begun, it ends unfinished and the connection is closed."""
        if self.status:
            return
        body = json.dumps(problem.body()).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **problem.headers}
        raw = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
        await self({"type": "http.response.start", "status": problem.status, "headers": raw})
        await self({"type": "http.response.body", "body": body})

    def line(self) -> str:
        return f"{self.status or 'unanswered'}{' ' + self.outcome if self.outcome else ''}"


def _headers(scope: Any, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _host(scope: Any) -> str:
    """The name that a request was sent to, without its port; empty if it has none, or several."""
    found = _headers(scope, b"host")
    if len(found) != 1:
        return ""
    host = found[0].decode("latin-1").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _place(error: BaseException) -> str:
    """File and line at which `error` was raised."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
