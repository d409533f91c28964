"""Callers that dawdle, leave or never end: the server goes on, and what they held is free again."""

from __future__ import annotations

import json
import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from proofglass.serve import Limits
from proofglass.types import Ask, Reply
from serve.live import Teller, everything, head, says, serving, until

BODY = json.dumps(says("hello")).encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_body_that_does_not_come_is_given_up_and_others_are_served_meanwhile():
    victim = Teller()
    with serving(victim, Limits(body_s=0.5, header_s=0.5, queue=2)) as live:
        with live.connect() as slow:
            slow.sendall(head(len(BODY)) + BODY[:5])
            assert live.post(says("other")).status_code == 200
            answer = everything(slow)
        assert status(answer) == 408
        assert b'"code": "request_timeout"' in answer
        assert live.post(says("next")).status_code == 200
    assert victim.asked == ["other", "next"]


def test_a_body_that_drips_does_not_hold_its_seat_for_long():
    with serving(Teller(), Limits(body_s=0.4, header_s=0.4, queue=1)) as live, live.connect() as slow:
        slow.sendall(head(len(BODY)))
        for k in range(len(BODY)):  # each byte in time, the whole never
            try:
                slow.sendall(BODY[k : k + 1])
            except OSError:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("the server waited for the whole body")
        assert until(lambda: live.post(says("next")).status_code == 200)


def test_headers_that_do_not_come_close_the_connection():
    with serving(Teller(), Limits(header_s=0.3)) as live:
        for sent in (b"", b"GET /health HTTP/1.1\r\nHost: 127"):
            with live.connect() as slow:
                slow.sendall(sent)
                assert everything(slow) == b""
        with live.connect() as slow:  # after a first request that was whole
            slow.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert status(slow.recv(4096)) == 200
            slow.sendall(b"GET /hea")
            assert b"HTTP/1.1" not in everything(slow)
        assert live.get("/health").status_code == 200


def test_a_body_that_nobody_wants_is_not_taken_for_ever():
    with serving(Teller(), Limits(header_s=0.3)) as live, live.connect() as pushing:
        pushing.sendall(head(None, token="wrong"))
        ended = False
        for _ in range(400):
            try:
                pushing.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            except OSError:
                ended = True
                break
            time.sleep(0.01)
        assert ended
        assert live.get("/health").status_code == 200


def test_a_refused_caller_that_sends_on_still_gets_its_answer():
    with serving(Teller()) as live:
        response = live.post(says("x" * 5_000_000), headers={"Authorization": "Bearer wrong"})
        assert response.status_code == 401


def test_who_leaves_the_queue_is_never_asked_and_frees_its_seat():
    victim = Teller()
    victim.held.clear()
    with serving(victim, Limits(queue=2, batch=1)) as live, ThreadPoolExecutor(2) as pool:
        runs = pool.submit(live.post, says("runs"))
        assert victim.begun.wait(10)
        with live.connect() as leaving:
            leaving.sendall(head(len(BODY)) + BODY)
            assert until(lambda: live.batcher.held == 2)
            assert live.post(says("full")).status_code == 429
        assert until(lambda: live.batcher.held == 1)
        stays = pool.submit(live.post, says("stays"))
        assert until(lambda: live.batcher.held == 2)
        victim.held.set()
        assert (runs.result().status_code, stays.result().status_code) == (200, 200)
        assert live.batcher.held == 0
    assert victim.asked == ["runs", "stays"]


def test_who_leaves_before_the_body_is_whole_is_a_line_in_the_log_and_no_failure(caplog):
    with caplog.at_level(logging.INFO, "proofglass.serve"), serving(Teller(), Limits(queue=1)) as live:
        with live.connect() as leaving:
            leaving.sendall(head(len(BODY)) + BODY[:5])
            assert until(lambda: live.batcher.held == 1)
        assert until(lambda: any(" 499 " in record.getMessage() for record in caplog.records))
        assert live.post(says("next")).status_code == 200
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]


def long_or_short(ask: Ask) -> Reply:
    """More than the buffers of a connection hold, where it is asked for: 9 MiB on the wire."""
    return Reply("\u6f22" * 1_000_000 if ask.chat.last_text == "long" else "short")


def test_who_leaves_in_the_middle_of_a_stream_costs_nothing_further():
    victim = Teller(long_or_short)
    body = json.dumps(says("long", stream=True)).encode()
    with serving(victim, Limits(queue=1, batch=1)) as live:
        for _ in range(3):
            with live.connect() as leaving:
                leaving.sendall(head(len(body)) + body)
                assert status(leaving.recv(4096)) == 200
        assert until(lambda: live.post(says("next")).status_code == 200)


def test_who_does_not_read_its_stream_is_cut_off_and_holds_no_seat():
    victim = Teller(long_or_short)
    body = json.dumps(says("long", stream=True)).encode()
    with serving(victim, Limits(queue=1, batch=1, body_s=0.5)) as live, live.connect(window=4096) as deaf:
        deaf.sendall(head(len(body)) + body)
        assert victim.begun.wait(10)
        assert until(lambda: live.post(says("next")).status_code == 200)
        time.sleep(1)
        answer = everything(deaf)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"[DONE]" not in answer


def test_too_many_connections_are_closed_and_room_is_made_again():
    with serving(Teller(), Limits(connections=3, header_s=1)) as live:
        held = [live.connect() for _ in range(3)]
        with live.connect() as one_more:
            assert everything(one_more) == b""
        for each in held:
            each.close()
        assert until(lambda: _alive(live))


def _alive(live) -> bool:
    import httpx

    try:
        return live.get("/health").status_code == 200
    except httpx.HTTPError:
        return False


def test_a_body_of_two_lengths_is_refused_and_what_follows_it_is_no_request():
    teller = Teller()
    inner = json.dumps(says("inner")).encode()
    hidden = head(len(inner)) + inner
    with serving(teller) as live, live.connect() as connection:
        body = b"0\r\n\r\n" + hidden  # as chunks it is empty, and a request follows; by its length it is a body
        connection.sendall(head(None, f"Content-Length: {len(body)}") + body)
        found = everything(connection)
    assert found.startswith(b"HTTP/1.1 400")
    assert found.count(b"HTTP/1.1") == 1
    assert teller.asked == []


def test_headers_that_come_at_once_have_an_end_too():
    with serving(Teller()) as live, live.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 30_000 + b"\r\n\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 431")


def test_what_is_no_http_is_turned_away():
    with serving(Teller()) as live:
        with live.connect() as odd:
            odd.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
            assert status(everything(odd)) == 400
        with live.connect() as odd:
            odd.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 200_000)
            assert everything(odd)[:12] in (b"HTTP/1.1 400", b"")
        assert live.get("/health").status_code == 200


def test_a_caller_who_has_said_all_and_closes_its_half_gets_its_answer():
    victim = Teller()
    victim.held.clear()
    with serving(victim) as live, live.connect() as half:
        half.sendall(head(len(BODY)) + BODY)
        half.shutdown(socket.SHUT_WR)
        assert victim.begun.wait(10)
        time.sleep(0.3)  # the server looks several times whether the caller is there
        assert live.batcher.held == 1
        victim.held.set()
        answer = everything(half)  # ends by itself: no further request can come
    interim, _, final = answer.partition(b"\r\n\r\n")
    assert interim == b"HTTP/1.1 100 Continue"
    assert status(final) == 200
    assert b'"content": "HELLO"' in final


def test_a_half_closed_caller_gets_everything_that_it_asked_for():
    with serving(Teller()) as live, live.connect() as half:
        half.sendall((head(len(BODY)) + BODY) * 2)
        half.shutdown(socket.SHUT_WR)
        assert everything(half).count(b'"content": "HELLO"') == 2


def test_a_half_closed_caller_whose_request_is_not_whole_is_let_go():
    with serving(Teller(), Limits(queue=1)) as live:
        with live.connect() as half:
            half.sendall(head(len(BODY)) + BODY[:5])
            half.shutdown(socket.SHUT_WR)
            assert b"HTTP/1.1 200" not in everything(half)
        assert until(lambda: live.post(says("next")).status_code == 200)


def test_a_half_closed_caller_who_then_leaves_is_noticed():
    victim = Teller()
    victim.held.clear()
    with serving(victim, Limits(queue=2, batch=1)) as live, ThreadPoolExecutor(1) as pool:
        runs = pool.submit(live.post, says("runs"))
        assert victim.begun.wait(10)
        with live.connect() as half:
            half.sendall(head(len(BODY)) + BODY)
            half.shutdown(socket.SHUT_WR)
            assert until(lambda: live.batcher.held == 2)
        assert until(lambda: live.batcher.held == 1)
        victim.held.set()
        assert runs.result().status_code == 200
    assert victim.asked == ["runs"]
