"""Perspective: what is asked, what is retried, what is recorded; against a server on this machine."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from proofglass.errors import UsageError
from proofglass.evaluation.judges import perspective_api
from proofglass.evaluation.judges.perspective import SIX, Perspective
from proofglass.evaluation.judges.perspective_api import Recorded, asked_of
from proofglass.types import Attempt, Chat, Reply, Sample

KEY = "s3cret/key+1"


class Fake:
    """answers: (status, body) one after another, the last one for good; a body that is a function makes it."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = [(200, scored(TOXICITY=0.7))]
        self.seen: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.url = ""


def scored(**scores: float) -> str:
    every = {**dict.fromkeys(SIX, 0.1), **scores}
    told = {name: {"summaryScore": {"value": value, "type": "PROBABILITY"}} for name, value in every.items()}
    return json.dumps({"attributeScores": told, "languages": ["en"]})


def refused(message: str) -> str:
    return json.dumps({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    found = Fake()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            where = urlsplit(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            key = parse_qs(where.query).get("key", [""])[0]
            found.seen.append({"path": where.path, "key": key, **json.loads(body)})
            status, told = found.answers[min(len(found.seen), len(found.answers)) - 1]
            if status == 0:  # the line breaks
                self.connection.close()
                return
            self.send_response(status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told.encode())

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/v1alpha1/comments:analyze"
    monkeypatch.setenv("PERSPECTIVE_API_KEY", KEY)
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited, without waiting; the clock goes on by them."""
    waits: list[float] = []
    monkeypatch.setattr(perspective_api.time, "sleep", waits.append)
    monkeypatch.setattr(perspective_api.time, "monotonic", lambda: sum(waits))
    return waits


def attempt(reply: str | Reply = "a kite .", question: str = "how ?") -> Attempt:
    sample = Sample("s", "bench", Chat.user(question))
    return Attempt(sample, Chat.user("x"), reply if isinstance(reply, Reply) else Reply(reply))


def online(fake: Fake, **fields: Any) -> Perspective:
    return Perspective(**{"online": True, "endpoint": fake.url, **fields})


def test_the_request_is_that_of_the_service_and_the_scores_are_read(fake: Fake) -> None:
    (score,) = online(fake).score([attempt()])
    assert fake.seen == [
        {
            "path": "/v1alpha1/comments:analyze",
            "key": KEY,
            "comment": {"text": "a kite .", "type": "PLAIN_TEXT"},
            "requestedAttributes": {name: {} for name in SIX},
            "doNotStore": True,
        }
    ]
    assert (score.value, score.label, score.reason) == (1.0, "toxic: TOXICITY", "TOXICITY 0.700")
    (graded,) = online(fake).graded().score([attempt()])
    assert (graded.value, graded.label) == (0.7, "probability")
    (other,) = online(fake, source="question", languages=("en",), attributes=("INSULT",)).score([attempt()])
    assert (other.value, other.label) == (0.0, "not toxic")
    assert fake.seen[-1]["comment"]["text"] == "how ?"
    assert fake.seen[-1]["languages"] == ["en"]


def test_toxic_is_above_the_threshold(fake: Fake) -> None:
    fake.answers = [(200, scored(TOXICITY=0.5))]
    assert online(fake).score([attempt()])[0].value == 0.0
    assert online(fake, threshold=0.49).score([attempt()])[0].value == 1.0


def test_requests_keep_their_distance(fake: Fake, slept: list[float]) -> None:
    online(fake, interval_s=2.0).score([attempt("a"), attempt("b"), attempt("c")])
    assert sum(slept) == pytest.approx(4.0)
    assert len(fake.seen) == 3


@pytest.mark.parametrize("status", [429, 500, 503, 0])
def test_what_may_pass_is_tried_again_with_growing_waits(fake: Fake, slept: list[float], status: int) -> None:
    fake.answers = [(status, "busy"), (status, "busy"), (200, scored(INSULT=0.9))]
    (score,) = online(fake).score([attempt()])
    assert (score.value, score.label) == (1.0, "toxic: INSULT")
    assert len(fake.seen) == 3
    assert sum(slept) == pytest.approx(1.0 + 2.0)


def test_the_service_says_how_long_to_wait(fake: Fake, slept: list[float]) -> None:
    fake.headers = {"Retry-After": "7"}
    fake.answers = [(429, "busy"), (200, scored())]
    assert online(fake).score([attempt()])[0].value == 0.0
    assert sum(slept) == pytest.approx(7.0)


@pytest.mark.parametrize("header", ["nan", "-3", "inf", "soon", "1e9"])
def test_an_odd_wait_is_none_or_a_minute_at_most(fake: Fake, slept: list[float], header: str) -> None:
    fake.headers = {"Retry-After": header}
    fake.answers = [(503, ""), (200, scored())]
    assert online(fake).score([attempt()])[0].value == 0.0
    assert sum(slept) <= 60


def test_a_service_that_keeps_failing_leaves_the_text_unjudged(fake: Fake) -> None:
    fake.answers = [(429, refused("Quota exceeded"))]
    (score,) = online(fake, retries=2).score([attempt()])
    assert score.value is None
    assert score.reason == "the service failed (429: Quota exceeded) 3 times"
    assert len(fake.seen) == 3


@pytest.mark.parametrize("message", ["Comment must be non-empty.", "Attribute TOXICITY does not support language: xx"])
def test_a_text_that_the_service_refuses_is_unjudged_at_once(fake: Fake, message: str) -> None:
    fake.answers = [(400, refused(message))]
    (score,) = online(fake).score([attempt()])
    assert (score.value, score.reason) == (None, f"the service refuses the text (400): {message}")
    assert len(fake.seen) == 1


@pytest.mark.parametrize(
    "told",
    ["", "no json", "[]", "{}", '{"attributeScores": {}}', '{"attributeScores": []}',
     '{"attributeScores": {"TOXICITY": 1}}',
     '{"attributeScores": {"TOXICITY": {"summaryScore": {"value": "0.5"}}}}',
     '{"attributeScores": {"TOXICITY": {"summaryScore": {"value": 1.5}}}}',
     '{"attributeScores": {"TOXICITY": {"summaryScore": {"value": NaN}}}}',
     '{"attributeScores": {"TOXICITY": {"summaryScore": {"value": true}}}}',
     '{"attributeScores": {"TOXICITY": {"summaryScore": {"value": 0.5}}}}', "[" * 100_000],
)  # fmt: skip
def test_an_answer_that_is_none_is_no_score(fake: Fake, told: str, tmp_path: Path) -> None:
    fake.answers = [(200, told)]
    (score,) = online(fake, recorded=tmp_path / "r.jsonl", record=True).score([attempt()])
    assert score.value is None
    assert score.reason


@pytest.mark.parametrize(
    ("status", "told"),
    [(400, refused("API key not valid. Please pass a valid API key.")), (403, refused("not enabled")), (404, "gone")],
)
def test_a_refused_key_stops_the_run_and_names_the_sunset(fake: Fake, status: int, told: str) -> None:
    fake.answers = [(status, told)]
    with pytest.raises(UsageError, match=rf"key_env: the service refuses the request \({status}.*2026-12-31") as error:
        online(fake).score([attempt()])
    assert KEY not in str(error.value)


def test_a_host_out_of_reach_names_the_sunset_and_not_the_key(fake: Fake) -> None:
    judge = online(fake, endpoint="http://127.0.0.1:9/x", retries=1)
    with pytest.raises(UsageError, match=r"cannot be reached .*ends on 2026-12-31.*`toxicity`") as error:
        judge.score([attempt()])
    assert KEY not in str(error.value)
    assert "%2B" not in str(error.value)


def test_no_redirection_carries_the_key_elsewhere(fake: Fake) -> None:
    fake.headers = {"Location": fake.url + "/elsewhere"}
    fake.answers = [(302, "moved")]
    with pytest.raises(UsageError, match="302"):
        online(fake, retries=0).score([attempt()])
    assert len(fake.seen) == 1


def test_the_key_is_read_from_the_environment_and_kept_nowhere(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = online(fake, key_env="OTHER_KEY")
    with pytest.raises(UsageError, match="the environment variable OTHER_KEY is not set"):
        judge.score([attempt()])
    monkeypatch.setenv("OTHER_KEY", KEY)
    judge.score([attempt()])
    assert KEY not in repr(judge)
    assert KEY not in json.dumps(judge.settings(), default=str)
    assert judge.key == online(fake).key


def test_answers_are_recorded_and_read_back_without_the_service(fake: Fake, tmp_path: Path) -> None:
    file = tmp_path / "new" / "answers.jsonl"
    fake.answers = [(200, scored(THREAT=0.8)), (400, refused("Unable to detect language")), (503, "")]
    texts = ["a kite .", "xyzzy", "busy"]
    first = online(fake, recorded=file, record=True, retries=0).score([attempt(text) for text in texts])
    assert [score.value for score in first] == [1.0, None, None]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["asked"] for line in lines] == [asked_of(text, SIX, ()) for text in texts[:2]]  # no failure of theirs
    assert "kite" not in file.read_text()
    asked = len(fake.seen)
    again = Perspective(recorded=file).score([attempt(text) for text in texts])
    assert [score.value for score in again] == [1.0, None, None]
    assert again[0] == first[0]
    assert again[1].reason == first[1].reason
    assert "not among the answers recorded" in again[2].reason
    assert len(fake.seen) == asked
    (same,) = Perspective(recorded=file, attributes=tuple(reversed(SIX))).score([attempt(texts[0])])
    assert same.value == 1.0  # the same question in another order
    (other,) = Perspective(recorded=file, attributes=("THREAT",)).score([attempt(texts[0])])
    assert other.value is None


def test_a_torn_last_line_is_dropped_and_any_other_broken_line_is_an_error(fake: Fake, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    judge = online(fake, recorded=file, record=True)
    judge.score([attempt("a")])
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:30])  # killed while it wrote
    online(fake, recorded=file, record=True).score([attempt("b")])
    assert file.read_bytes().startswith(whole)
    assert file.read_bytes().count(b"\n") == 2
    assert len(Recorded(file).known) == 2
    for broken in (b"{}\n", b"no json\n", b'{"asked": "x", "scores": {"A": 2}, "reason": ""}\n', b"\xff\n", b"[]\n"):
        file.write_bytes(whole + broken)
        with pytest.raises(UsageError, match=r"answers\.jsonl"):
            Perspective(recorded=file).score([attempt("a")])


def test_a_recorded_file_is_in_the_key(fake: Fake, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    online(fake, recorded=file, record=True).score([attempt("a")])
    before = Perspective(recorded=file).key
    online(fake, recorded=file, record=True).score([attempt("b")])
    assert Perspective(recorded=file).key != before
    with pytest.raises(UsageError, match="no such file"):
        Perspective(recorded=tmp_path / "none.jsonl").score([attempt("a")])


def test_what_says_nothing_or_too_much_is_not_asked(fake: Fake) -> None:
    judge = online(fake)
    for reply in (Reply.error("x"), Reply(""), Reply(" "), Reply(outcome="filtered"), Reply("é" * 10_241)):
        (score,) = judge.score([attempt(reply)])
        assert score.value is None
        assert score.reason
    assert dataclasses.replace(judge, source="question").score([attempt(Reply.error("x"))])[0].value is None
    assert dataclasses.replace(judge, source="question").score([attempt(question=" ")])[0].value is None
    assert fake.seen == []
    assert judge.score([attempt("é" * 10_240)])[0].value == 1.0
    assert judge.score([attempt("half \ud800 a \x00 character")])[0].value == 1.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "recorded: expected a file of recorded answers, or online: true.*2026-12-31"),
        ({"online": True, "record": True}, "record: expected a file"),
        ({"online": True, "endpoint": "http://localhost.example/x"}, "endpoint: expected an https address"),
        ({"online": True, "endpoint": "ftp://127.0.0.1/x"}, "endpoint: expected an https address"),
        ({"online": True, "attributes": ()}, "attributes: expected at least one"),
        ({"online": True, "attributes": ("A", "A")}, "attributes: expected different names"),
        ({"online": True, "threshold": 1.5}, "threshold: expected"),
        ({"online": True, "interval_s": -1}, "interval_s: expected"),
        ({"online": True, "interval_s": float("nan")}, "interval_s: expected"),
    ],
)
def test_fields_are_checked(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Perspective(**fields)
