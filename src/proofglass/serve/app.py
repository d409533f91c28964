"""The application: chat completions, the list of models, a sign of life. Loaded on first use (FastAPI).

Sources: OpenAI's API reference for the shapes of requests, answers, chunks and errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from proofglass.errors import ProofglassError
from proofglass.interfaces import Victim, innermost
from proofglass.serve.batching import Batcher
from proofglass.serve.guard import LOOPBACK, Guard
from proofglass.serve.limits import Limits
from proofglass.serve.messages import Wanted, read_request
from proofglass.serve.pictures import LinkedPictures
from proofglass.serve.problems import Problem
from proofglass.serve.replies import Told, checked
from proofglass.types import Ask

T = TypeVar("T")


def create_app(
    victim: Victim,
    *,
    token: str,
    name: str = "",
    limits: Limits | None = None,
    hosts: Collection[str] | None = LOOPBACK,
    image_hosts: Collection[str] = (),
    show_margins: bool = False,
    show_reasoning: bool = False,
) -> FastAPI:
    """An ASGI application that answers for `victim`, which may be defended.

    token: what every caller sends as bearer token. name: of the model, as callers write it; empty: the victim's own.
    hosts: names under which the server may be called, None: any. image_hosts: whose pictures are fetched over https.
    show_margins: tell how near each defense was to intervening. show_reasoning: tell what a model that thinks aloud
    thought. Raises ValueError for an empty token.
    """
    if not token:
        raise ValueError("token: expected a text that callers have to send, found an empty one")
    limits = limits or Limits()
    endpoint = Endpoint(victim, name or model_name(victim), limits, image_hosts, show_margins, show_reasoning)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with endpoint.batcher.running():
            yield

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.batcher = endpoint.batcher
    for path, method, answer in endpoint.routes():
        methods = ["GET", "HEAD"] if method == "GET" else [method]
        app.add_api_route(path, answer, methods=methods, response_model=None)
    app.add_exception_handler(StarletteHTTPException, _no_such_route)
    app.add_middleware(Guard, token=token, hosts=hosts, deadline_s=limits.deadline_s)
    return app


def model_name(victim: Victim) -> str:
    """Name of the model itself, without the defenses around it."""
    return innermost(victim).name


class AsciiJSON(Response):
    """JSON in ASCII only: a model may write what no encoding holds, half of a surrogate pair."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


class Endpoint:
    """The routes, over one victim. Whatever is not an answer is raised as Problem."""

    def __init__(
        self,
        victim: Victim,
        name: str,
        limits: Limits,
        image_hosts: Collection[str],
        show_margins: bool,
        show_reasoning: bool,
    ) -> None:
        self.victim, self.name, self.limits = victim, name, limits
        self.show_margins, self.show_reasoning = show_margins, show_reasoning
        self.batcher = Batcher(victim, limits)
        self.pictures = LinkedPictures(limits, image_hosts, victim.look_ahead)
        self.created = int(time.time())

    def routes(self) -> Iterator[tuple[str, str, Any]]:
        yield "/v1/chat/completions", "POST", self.chat
        yield "/v1/models", "GET", self.models
        yield "/v1/models/{model:path}", "GET", self.model
        yield "/health", "GET", self.health

    async def chat(self, request: Request) -> Response:
        with self.batcher.seat():  # before the body is read: what is held in memory is bounded by seats
            wanted = await asyncio.to_thread(read_request, await body_of(request, self.limits), self.limits)
            self._check_model(wanted.model)
            ask = await self._ask(wanted)
            reply = checked(await unless_gone(request, self.batcher.answer(ask)))
        told = Told(
            id=f"chatcmpl-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=self.name,
            reply=reply,
            seed=ask.settings.draw if ask.settings.temperature > 0 else None,
            show_margins=self.show_margins,
            show_reasoning=self.show_reasoning,
        )
        headers = {"X-Proofglass-Outcome": reply.outcome, "X-Request-Id": told.id, "Cache-Control": "no-store"}
        if wanted.stream:
            events = told.events(wanted.include_usage)
            return StreamingResponse(_each(events), headers=headers, media_type="text/event-stream")
        return AsciiJSON(told.completion(), headers=headers)

    async def models(self) -> Response:
        return AsciiJSON({"object": "list", "data": [await self._model()]})

    async def model(self, model: str) -> Response:
        self._check_model(model)
        return AsciiJSON(await self._model())

    async def health(self) -> Response:
        if self.batcher.stuck():
            raise Problem(503, "the model has not answered for long", kind="server_error", code="stuck")
        return AsciiJSON({"status": "ok"})

    async def _ask(self, wanted: Wanted) -> Ask:
        if wanted.links and not self.victim.sees_images:
            raise Problem(400, f"{self.name} takes text only", code="unsupported_value", param=wanted.links[0].where)
        pictures = {link: await self.pictures.read(link) for link in wanted.links}
        return Ask(wanted.chat(pictures), wanted.settings)

    def _check_model(self, name: str) -> None:
        if name != self.name:
            message = f"no such model here; this endpoint serves {self.name!r}"
            raise Problem(404, message, code="model_not_found", param="model")

    async def _model(self) -> dict[str, Any]:
        """OpenAI's fields, and the context window under the names by which clients look for it, where it is known."""
        told = {"id": self.name, "object": "model", "created": self.created, "owned_by": "proofglass"}
        window = await asyncio.to_thread(_window, self.victim)
        return told if window is None else {**told, "context_window": window, "max_model_len": window}


def _window(victim: Victim) -> int | None:
    """None also where it cannot be found out: a model is listed all the same."""
    with contextlib.suppress(ProofglassError, OSError):
        return victim.context_window
    return None


async def body_of(request: Request, limits: Limits) -> bytes:
    """The body of a JSON request, never more than `limits.body_bytes` of it in memory."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # also what a browser's form cannot send
        raise Problem(415, "expected the header Content-Type: application/json", code="unsupported_media_type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "compressed bodies are not read here", code="unsupported_media_type")
    too_large = Problem(413, f"the body is larger than {limits.body_bytes} bytes", code="body_too_large")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > limits.body_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_s):
            async for piece in request.stream():
                body += piece
                if len(body) > limits.body_bytes:
                    raise too_large
    except ClientDisconnect:
        raise _caller_gone() from None
    except TimeoutError:
        message = f"the body did not come within {limits.body_s:g} s"
        headers = {"Connection": "close"}  # the rest of the body is not waited for
        raise Problem(408, message, kind="timeout_error", code="request_timeout", headers=headers) from None
    return bytes(body)


async def unless_gone(request: Request, answer: Coroutine[Any, Any, T]) -> T:
    """What `answer` gives; it is cancelled when the caller closes the connection."""
    answered, gone = asyncio.create_task(answer), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({answered, gone}, return_when=asyncio.FIRST_COMPLETED)
        if answered.done():
            return answered.result()
        raise _caller_gone()
    finally:
        answered.cancel()
        gone.cancel()


def _caller_gone() -> Problem:
    """Nobody reads it; the log has the status, 499 as other servers write it."""
    return Problem(499, "the caller has gone", code="caller_gone")


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _each(events: Iterator[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event
        await asyncio.sleep(0)  # others are served meanwhile, and a caller who leaves is noticed


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    found = {404: "there is no such path here", 405: "this path takes another method"}
    problem = Problem(error.status_code, found.get(error.status_code, str(error.detail)), code="unknown_url")
    return AsciiJSON(problem.body(), error.status_code, error.headers)
