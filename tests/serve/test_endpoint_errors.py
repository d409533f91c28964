"""What the endpoint does not answer: strangers, bad bodies, too much at once, too late."""

from __future__ import annotations

import concurrent.futures
import logging

import numpy as np
import pytest

from proofglass.serve import Limits
from proofglass.types import Image
from serve.live import PATH, TOKEN, Teller, data_url, picture, says, serving, shows, until


def is_problem(response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \u00e9"]
)
@pytest.mark.parametrize("path", [PATH, "/v1/models", "/v1/nothing"])
def test_without_the_token_nothing_is_read(live, teller, header, path):
    asked = len(teller.batches)
    response = live.post(says("hello"), path=path, headers={"Authorization": header.encode()})
    is_problem(response, 401, "invalid_api_key")
    assert response.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in response.text
    assert len(teller.batches) == asked


def test_two_tokens_are_none(live):
    import httpx

    sent = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {TOKEN}")]
    assert httpx.get(f"{live.url}/v1/models", headers=sent).status_code == 401


def test_the_sign_of_life_needs_no_token(live):
    response = live.get("/health", Authorization="")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::2]:80", ""])
def test_a_name_that_is_not_ours_is_refused_even_with_the_token(live, host):
    for path in ("/v1/models", "/health"):
        is_problem(live.get(path, Host=host), 403, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:8000"])
def test_our_own_names_are_not(live, host):
    assert live.get("/v1/models", Host=host).status_code == 200


def test_other_names_pass_where_the_operator_says_so(teller):
    with serving(teller, hosts=None) as anywhere, serving(teller, hosts={"Models.Example"}) as named:
        assert anywhere.get("/health", Host="evil.example").status_code == 200
        assert named.get("/health", Host="models.example").status_code == 200
        assert named.get("/health", Host="localhost").status_code == 403


def test_pages_in_a_browser_are_refused(live):
    is_problem(live.post(says("x"), headers={"Origin": "http://localhost:3000"}), 403, "origin_refused")
    is_problem(live.post(says("x"), headers={"Origin": "null"}), 403, "origin_refused")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/", "GET", 404), ("/docs", "GET", 404), ("/openapi.json", "GET", 404), (PATH, "GET", 405)],
)
def test_other_paths_and_methods_are_answered_in_the_same_shape(live, path, method, status):
    is_problem(live.get(path), status, "unknown_url")


def test_a_path_with_a_slash_more_leads_nowhere(live):
    response = live.post(says("hello"), path=PATH + "/")
    assert response.status_code == 404
    assert "location" not in response.headers


def test_another_model_is_not_found(live):
    is_problem(live.post({**says("x"), "model": "gpt-4"}), 404, "model_not_found")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
        {"Content-Encoding": "gzip"},
        {"Content-Type": "multipart/form-data"},
    ],
)
def test_what_is_not_json_is_not_read(live, headers):
    is_problem(live.post(says("x"), headers=headers), 415, "unsupported_media_type")


def test_a_bad_body_is_a_400_in_openais_shape(live):
    is_problem(live.post(b"{"), 400, "invalid_json")
    is_problem(live.post(b""), 400, "invalid_json")
    is_problem(live.post([1]), 400, "invalid_value")
    is_problem(live.post(says("x", n=3)), 400, "unsupported_value")


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("file:///etc/passwd", 400, "unsupported_url"),
        ("http://169.254.169.254/latest/meta-data/", 400, "unsupported_url"),
        ("https://example.org/a.png", 400, "unsupported_url"),
        (data_url(picture())[:-5], 400, "invalid_image"),
        (data_url(b"\0" * 100_010), 413, "image_too_large"),
        (data_url(Image.from_array(np.zeros((101, 100, 3), np.uint8))), 400, "invalid_image"),
    ],
)
def test_a_picture_that_is_not_read_never_reaches_the_victim(live, teller, url, status, code):
    asked = len(teller.batches)
    is_problem(live.post(shows(url)), status, code)
    assert len(teller.batches) == asked


def test_a_victim_that_sees_no_pictures_is_not_shown_any():
    victim = Teller()
    victim.sees_images = False
    with serving(victim) as live:
        is_problem(live.post(shows(data_url(picture()))), 400, "unsupported_value")
    assert victim.batches == []


def test_a_body_too_large_is_refused_whether_it_says_so_or_not(live, teller):
    asked = len(teller.batches)
    large = says("x" * 300_000)
    is_problem(live.post(large), 413, "body_too_large")

    def pieces():
        for _ in range(30):
            yield b"x" * 10_000

    import httpx

    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    is_problem(httpx.post(live.url + PATH, content=pieces(), headers=headers), 413, "body_too_large")
    assert len(teller.batches) == asked


def test_a_failure_of_the_server_tells_no_more_than_that(teller, caplog, monkeypatch):
    def fails(*args):
        raise RuntimeError("the prompt was: my secret")

    monkeypatch.setattr("proofglass.serve.app.read_request", fails)
    with caplog.at_level(logging.INFO), serving(teller) as live:
        response = live.post(says("x"))
    is_problem(response, 500, "internal_error")
    assert "secret" not in response.text + caplog.text
    assert "RuntimeError in" in caplog.text
    assert "test_endpoint_errors.py:" in caplog.text


# ----------------------------------------------------------------------------------------------- many, and too late


def test_a_burst_of_100_is_answered_to_the_last():
    victim = Teller()
    with serving(victim, Limits(batch=16)) as live, concurrent.futures.ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(lambda k: live.post(says(f"q{k}")), range(100)))
    assert [reply.status_code for reply in replies] == [200] * 100
    assert [reply.json()["choices"][0]["message"]["content"] for reply in replies] == [f"Q{k}" for k in range(100)]
    assert sorted(victim.asked) == sorted(f"q{k}" for k in range(100))
    assert max(len(batch) for batch in victim.batches) <= 16


def test_beyond_the_queue_callers_are_told_to_come_again():
    victim = Teller()
    victim.held.clear()
    with serving(victim, Limits(queue=3, batch=1)) as live, concurrent.futures.ThreadPoolExecutor(10) as pool:
        waiting = [pool.submit(live.post, says(f"q{k}")) for k in range(10)]
        assert until(lambda: sum(each.done() for each in waiting) == 7)
        victim.held.set()
        replies = [each.result() for each in waiting]
        turned_away = [reply for reply in replies if reply.status_code == 429]
        assert len(turned_away) == 7
        for reply in turned_away:
            is_problem(reply, 429, "queue_full")
            assert reply.headers["retry-after"] == "1"
        assert sorted(reply.status_code for reply in replies) == [200] * 3 + [429] * 7
        assert live.post(says("again")).status_code == 200  # every seat was given back


def test_past_the_deadline_a_caller_is_told_and_the_next_is_served():
    victim = Teller()
    victim.held.clear()
    with serving(victim, Limits(deadline_s=0.5, batch=1)) as live:
        is_problem(live.post(says("slow")), 504, "deadline_exceeded")
        is_problem(live.post(says("queued")), 504, "deadline_exceeded")
        is_problem(live.get("/health"), 503, "stuck")
        victim.held.set()
        assert until(lambda: live.get("/health").status_code == 200)
        assert until(lambda: live.post(says("next")).status_code == 200)
    assert victim.asked[:2] == ["slow", "next"]


def test_the_log_has_one_line_for_each_and_nothing_of_what_was_said(teller, caplog):
    with caplog.at_level(logging.DEBUG, "proofglass.serve"), serving(teller) as live:
        live.post(says("my secret question"))
        live.post(says("broken"))
        live.get("/v1/%1b%5b31m%0aforged")
        live.get("/v1/models", Authorization="Bearer a-guess")
        assert until(lambda: len(caplog.records) == 4)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.rsplit(" ", 2)[0] for line in lines] == [
        "POST /v1/chat/completions 200 ok",
        "POST /v1/chat/completions 502 error",
        "GET /v1/⟨U+001B⟩[31m\nforged 404",
        "GET /v1/models 401",
    ]
    for secret in ("secret", "SECRET", "coffee", TOKEN, "a-guess"):
        assert secret not in "".join(lines)
