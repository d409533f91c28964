"""A text-to-image server: what it draws, what it refuses, how it fails; nothing drawn is bought twice."""

from __future__ import annotations

import base64
import email
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proofglass import images
from proofglass.errors import StoreError, UsageError
from proofglass.models.image_endpoint import ImageEndpoint
from proofglass.records.journal import Journal, Journaled
from proofglass.testing.material import unreadable
from proofglass.types import Ask, Chat, Image, Settings

BODIES: dict[str, Any] = {
    "no json": b"{cut off",
    "no utf-8": b'{"data": "\xff"}',
    "too deep": b"[" * 100_000,
    "not ascii": {"data": [{"b64_json": "\u00e9" * 8}]},
    "an object": {"data": {"b64_json": ""}},
    "null": None,
    "a list": [1],
    "an address": {"data": [{"url": "http://127.0.0.1/x.png"}]},
}


class Server:
    """Answers by what the prompt says. asked: the bodies of all requests."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                body = (
                    fields_of(data, self.headers["Content-Type"]) if self.path.endswith("edits") else json.loads(data)
                )
                outer.asked.append({"path": self.path, **body})
                status, told = outer.answer(body["prompt"])
                data = told if isinstance(told, bytes) else json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def answer(self, prompt: str) -> tuple[int, Any]:
        if prompt == "away":
            return 503, {"error": {"message": "warming up"}}
        if prompt == "odd size":
            return 400, {"error": {"message": "unknown size", "param": "size"}}
        if prompt in BODIES:
            return 200, BODIES[prompt]
        if prompt == "sealed":
            return 400, {"error": {"message": "content filter"}}
        if prompt == "broken":
            return 500, {"error": {"message": "out of paint"}}
        if prompt == "junk":
            return 200, {"created": 1, "data": [{"b64_json": base64.b64encode(b"no picture").decode()}]}
        if prompt == "nothing":
            return 200, {"created": 1, "data": []}
        drawn = base64.b64encode(images.encode(picture(len(prompt)))).decode()
        return 200, {"created": 1, "data": [{"b64_json": drawn}]}


def fields_of(data: bytes, kind: str) -> dict[str, Any]:
    """Of a form in parts; those of pictures as bytes, in a list."""
    found: dict[str, Any] = {"pictures": []}
    message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + data)
    for part in message.walk():
        name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if part.get_filename():
            found["pictures"].append(content)
        elif name:
            found[str(name)] = bytes(content or b"").decode()  # type: ignore[arg-type]
    return found


def picture(level: int) -> Image:
    return Image.from_array(np.full((4, 6, 3), level, np.uint8))


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def painter(server: Server, **fields: Any) -> ImageEndpoint:
    return ImageEndpoint(model="painter", base_url=server.url, retries=0, **fields)


def asks(*prompts: str, draw: int = 0) -> list[Ask]:
    return [Ask(Chat.user(prompt), Settings(draw=draw)) for prompt in prompts]


def test_each_prompt_gets_its_picture_in_order(server: Server) -> None:
    replies = painter(server, price=0.02).reply(asks("a lantern", "a tall blue lantern"))
    assert [reply.images[0].sha256 for reply in replies] == [picture(9).sha256, picture(19).sha256]
    assert all(reply.cost.queries == 1 and reply.cost.money == 0.02 for reply in replies)


def test_the_draw_and_the_seed_go_to_the_server(server: Server) -> None:
    painter(server, seed=5, size="64x32").reply(asks("a lantern", draw=2))
    assert server.asked[0]["seed"] == 7
    assert server.asked[0]["size"] == "64x32"
    painter(server).reply(asks("a lantern"))
    assert "seed" not in server.asked[1]


def test_a_picture_that_comes_with_the_prompt_is_edited(server: Server) -> None:
    ask = Ask(Chat.user(picture(7), "purify it"))
    (reply,) = painter(server, size="6x4", seed=3).reply([ask])
    assert reply.images == (picture(len("purify it")),)
    (asked,) = server.asked
    assert (asked["path"], asked["prompt"], asked["size"], asked["seed"]) == (
        "/v1/images/edits",
        "purify it",
        "6x4",
        "3",
    )
    assert [images.decode(data, "sent") for data in asked["pictures"]] == [picture(7)]
    painter(server).reply([Ask(Chat.user(picture(7), picture(8), "both"))])
    assert [images.decode(data, "sent") for data in server.asked[1]["pictures"]] == [picture(7), picture(8)]


def test_a_picture_that_can_not_be_read_costs_itself_only(server: Server) -> None:
    asks = [Ask(Chat.user(image, "purify it")) for image in (unreadable(), picture(3))]
    bad, good = painter(server).reply(asks)
    assert (bad.outcome, good.outcome) == ("error", "ok")
    assert "gone.png" in bad.reason


def test_what_fails_costs_itself_only(server: Server) -> None:
    good, refused, broken, junk, nothing = painter(server).reply(asks("x", "sealed", "broken", "junk", "nothing"))
    assert good.outcome == "ok"
    assert refused.outcome == "refused"
    assert "content filter" in refused.reason
    for failed in (broken, junk, nothing):
        assert (failed.outcome, failed.images, failed.cost.queries) == ("error", (), 1)
    assert "out of paint" in broken.reason


@pytest.mark.parametrize("prompt", [*BODIES, "\ud800"])
def test_an_answer_of_any_kind_costs_its_prompt_only(server: Server, prompt: str) -> None:
    good, failed = painter(server).reply(asks("x", prompt))
    assert good.outcome == "ok"
    assert (failed.outcome, failed.images, failed.cost.queries) == ("error", (), 1)
    assert failed.reason


def test_a_prompt_that_always_fails_alone_does_not_stop_the_run(server: Server) -> None:
    for prompt in ("broken", "junk", "no json"):
        (failed,) = painter(server).reply(asks(prompt))  # as a retry asks, once the others have their pictures
        assert failed.outcome == "error"


def test_a_parameter_that_the_server_does_not_take_is_no_refusal_of_the_prompt(server: Server) -> None:
    with pytest.raises(UsageError, match="does not take 'size'"):
        painter(server).reply(asks("x", "odd size"))


def test_a_server_that_does_not_work_stops_the_run(server: Server) -> None:
    with pytest.raises(UsageError, match="gave no picture"):
        painter(server).reply(asks("away", "away"))
    with pytest.raises(UsageError, match="gave no picture"):
        ImageEndpoint(model="m", base_url="http://127.0.0.1:9/v1", retries=0, timeout_s=2).reply(asks("a lantern"))


@pytest.mark.parametrize("address", ["", "127.0.0.1", "ftp://x/v1", "http://me:word@x/v1"])
def test_an_address_that_is_none_is_said_at_once(address: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        ImageEndpoint(model="m", base_url=address)


def test_what_was_drawn_is_journaled_and_never_bought_twice(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        first = Journaled(painter(server), journal).reply(asks("a lantern", "sealed"))
    with Journal(path) as journal:
        again = Journaled(painter(server), journal).reply(asks("a lantern", "sealed"))
    assert len(server.asked) == 2
    assert [reply.images[0].sha256 for reply in again[:1]] == [picture(9).sha256]
    assert np.array_equal(again[0].images[0].array(), first[0].images[0].array())
    assert again[1].outcome == "refused"


def test_a_drawn_picture_that_is_gone_is_one_clear_error(server: Server, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        asked = Journaled(painter(server), journal)
        asked.reply(asks("a lantern"))
        next((tmp_path / "painted").rglob("*.png")).unlink()
        with pytest.raises(StoreError, match="delete the journal"):
            asked.reply(asks("a lantern"))
