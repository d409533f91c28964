"""The endpoint over HTTP: shapes of answers and errors, outcomes, the token, and the official client."""

from __future__ import annotations

import concurrent.futures
import json
import logging

import httpx
import numpy as np
import pytest

from proofglass.errors import TooLong
from proofglass.interfaces import Defense
from proofglass.serve import Limits
from proofglass.types import Ask, Chat, Cost, Decision, Image, Reply, Settings
from serve.live import PATH, TOKEN, Teller, data_url, picture, says, serving, shows, until

OUTCOMES = {
    "cut": Reply("half a", finish="length", cost=Cost(queries=1, tokens_in=5, tokens_out=2)),
    "stopped": Reply("I cannot.", "blocked", reason="too near", decisions=(Decision("wall", True, 0.5, 0.1, "near"),)),
    "withheld": Reply("", "filtered", reason="policy"),
    "filtered": Reply("sure, first", "filtered", reason="policy", cost=Cost(queries=1, tokens_in=5, tokens_out=3)),
    "broken": Reply.error("out of coffee\n\x1b[31m"),
    "odd": Reply('</script> "quoted" \u2028 \u202e \ud800 \x1b[31m'),
    "long": Reply("word " * 1000),
    "empty": Reply(""),
    "declined": Reply("", "refused", reason="I'm sorry."),
    "declined late": Reply("sure, first", "refused", reason="cyber"),
    "thoughtful": Reply("yes", reasoning="let me think"),
    "helped": Reply("yes", cost=Cost(queries=1, tokens_in=5), helpers={"g": Cost(queries=2, tokens_in=3)}),
    "long ask": Reply.unaskable(TooLong(600, 64, 512)),
    "odd ask": Reply.unaskable(ValueError("chat: takes one picture, found 2")),
}


@pytest.fixture(scope="module")
def teller():
    return Teller(
        lambda ask: OUTCOMES.get(ask.chat.last_text) or Reply(ask.chat.last_text.upper(), cost=Cost(1, 0, 1, 7, 3))
    )


@pytest.fixture(scope="module")
def live(teller):
    with serving(teller, Limits(body_bytes=200_000, image_bytes=100_000, image_pixels=10_000)) as found:
        yield found


def events(response) -> list:
    """The chunks of a stream, [DONE] as None."""
    lines = [line for line in response.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [None if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


# -------------------------------------------------------------------------------------------------------- answers


def test_a_completion_has_the_shape_that_clients_know(live):
    response = live.post(says("hello"))
    told = response.json()
    assert response.status_code == 200
    assert response.headers["x-proofglass-outcome"] == "ok"
    assert response.headers["x-request-id"] == told["id"]
    assert told["object"] == "chat.completion"
    assert told["model"] == "teller"
    assert told["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "HELLO", "refusal": None}, "logprobs": None,
         "finish_reason": "stop"}
    ]  # fmt: skip
    assert told["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert told["proofglass"] == {"outcome": "ok", "decisions": [], "queries": 1, "helper_queries": 0}


@pytest.mark.parametrize(
    ("word", "finish", "content"),
    [
        ("cut", "length", "half a"),
        ("stopped", "stop", "I cannot."),
        ("withheld", "content_filter", ""),
        ("filtered", "content_filter", "sure, first"),
        ("empty", "stop", ""),
        ("declined", "stop", ""),
        ("declined late", "content_filter", "sure, first"),
        ("thoughtful", "stop", "yes"),
    ],
)
def test_each_outcome_ends_as_what_it_is(live, word, finish, content):
    told = live.post(says(word)).json()
    (choice,) = told["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == (finish, content)
    assert told["proofglass"]["outcome"] == OUTCOMES[word].outcome
    streamed = events(live.post(says(word, stream=True)))
    assert "".join(each["choices"][0]["delta"].get("content", "") for each in streamed[:-1]) == content
    assert streamed[-2]["choices"][0]["finish_reason"] == finish
    assert streamed[-2]["proofglass"]["outcome"] == OUTCOMES[word].outcome


def test_a_refusal_by_the_provider_stands_in_its_own_field(live):
    assert live.post(says("declined")).json()["choices"][0]["message"]["refusal"] == "I'm sorry."
    streamed = events(live.post(says("declined", stream=True)))
    assert "".join(each["choices"][0]["delta"].get("refusal", "") for each in streamed[:-1]) == "I'm sorry."
    assert live.post(says("declined late")).json()["choices"][0]["message"]["refusal"] is None


def test_what_the_model_thought_is_told_only_where_the_operator_says_so_and_never_in_the_content(live, teller):
    assert "let me think" not in live.post(says("thoughtful")).text
    assert "let me think" not in live.post(says("thoughtful", stream=True)).text
    with serving(teller, show_reasoning=True) as open_one:
        message = open_one.post(says("thoughtful")).json()["choices"][0]["message"]
        streamed = events(open_one.post(says("thoughtful", stream=True)))
    assert (message["content"], message["reasoning_content"]) == ("yes", "let me think")
    deltas = [each["choices"][0]["delta"] for each in streamed[:-1]]
    assert "".join(each.get("reasoning_content", "") for each in deltas) == "let me think"
    assert "".join(each.get("content", "") for each in deltas) == "yes"


def test_usage_holds_what_helpers_of_the_defenses_took(live):
    told = live.post(says("helped")).json()
    assert told["usage"]["prompt_tokens"] == 8
    assert (told["proofglass"]["queries"], told["proofglass"]["helper_queries"]) == (1, 2)


def test_what_a_defense_decided_is_told_and_how_near_it_was_only_where_the_operator_says_so(live, teller):
    assert live.post(says("stopped")).json()["proofglass"]["decisions"] == [{"defense": "wall", "fired": True}]
    with serving(teller, show_margins=True) as open_one:
        (decision,) = open_one.post(says("stopped")).json()["proofglass"]["decisions"]
    assert decision == {"defense": "wall", "fired": True, "margin": 0.5, "threshold": 0.1, "reason": "near"}


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_of_the_victim_is_an_error_and_never_text(live, stream):
    response = live.post(says("broken", stream=stream))
    assert response.status_code == 502
    assert response.headers["x-should-retry"] == "false"
    assert response.json() == {
        "error": {"message": "out of coffee\n\x1b[31m", "type": "victim_error", "param": None, "code": "victim_error"}
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("word", "code"), [("long ask", "context_length_exceeded"), ("odd ask", "invalid_value")])
def test_an_ask_that_this_victim_cannot_be_asked_is_the_callers_error(live, word, code, stream):
    response = live.post(says(word, stream=stream))
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"]) == (400, code, "invalid_request_error")
    assert error["param"] == "messages"
    assert error["message"] == OUTCOMES[word].reason
    assert response.headers["x-should-retry"] == "false"


def test_a_stream_is_role_pieces_end_usage_done(live):
    response = live.post(says("long", stream=True, stream_options={"include_usage": True}))
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, usage, done = events(response)
    assert done is None
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "word " * 1000
    assert len(chunks) > 10
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 0)
    assert len({chunk["id"] for chunk in [*chunks, usage]}) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_is_data_on_the_wire_and_comes_back_as_it_was(live, stream):
    response = live.post(says("odd", stream=stream))
    assert response.content.isascii()
    assert b"\x1b" not in response.content
    parts = events(response)[:-1] if stream else [response.json()]
    key = "delta" if stream else "message"
    assert "".join(each["choices"][0][key].get("content", "") for each in parts) == OUTCOMES["odd"].text


def test_a_picture_reaches_the_victim_pixel_for_pixel(live, teller):
    assert live.post(shows(data_url(picture(5)))).status_code == 200
    (image,) = teller.batches[-1][0].chat.images
    assert np.array_equal(image.array(), picture(5).array())


def test_a_drawn_reply_tells_the_seed_that_repeats_it(live, teller):
    told = live.post(says("x", temperature=1)).json()["proofglass"]
    assert told["seed"] == teller.batches[-1][0].settings.draw
    assert "seed" not in live.post(says("x", temperature=0)).json()["proofglass"]


def test_models_are_listed_and_described(live):
    told = live.get("/v1/models").json()
    assert [(each["id"], each["object"]) for each in told["data"]] == [("teller", "model")]
    assert live.get("/v1/models/teller").json() == told["data"][0]
    assert live.get("/v1/models/gpt-4").status_code == 404


def test_a_window_that_is_unknown_is_not_told(live):
    assert not {"context_window", "max_model_len"} & set(live.get("/v1/models/teller").json())


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/v1/models/teller"])
def test_what_can_be_got_has_a_head(live, path):
    full = live.get(path)
    response = httpx.head(live.url + path, headers={"Authorization": f"Bearer {TOKEN}"}, verify=False)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(len(full.content))


def test_the_defenses_of_the_victim_stand_between():
    class Shouts(Defense):
        name = "shouts"

        def flow(self, ask: Ask):
            reply = yield ask.on(ask.chat.with_text(ask.chat.last_text + "!"))
            return reply

    with serving(Shouts()(Teller())) as live:
        assert live.post(says("hello")).json()["choices"][0]["message"]["content"] == "HELLO!"
        assert live.get("/v1/models").json()["data"][0]["id"] == "teller"


# --------------------------------------------------------------------------------------------------------- errors


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
    assert "test_endpoint.py:" in caplog.text


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


# ------------------------------------------------------------------------------------------------ the official client


@pytest.mark.parametrize("stream", [False, True])
def test_the_official_client_works_unchanged(live, stream):
    client = live.openai()
    parts = [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": data_url(picture()), "detail": "auto"}},
    ]
    answer = client.chat.completions.create(
        model="teller", messages=[{"role": "user", "content": parts}], max_tokens=5, stream=stream
    )
    if stream:
        chunks = list(answer)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "WHAT IS IT?"
        assert chunks[-1].choices[0].finish_reason == "stop"
    else:
        assert answer.choices[0].message.content == "WHAT IS IT?"
        assert answer.usage.total_tokens == 10
        assert answer._request_id == answer.id


def test_the_official_client_sends_its_own_answers_back(live, teller):
    client = live.openai()
    messages: list = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]
    said = client.chat.completions.create(model="teller", messages=messages).choices[0].message
    answer = client.chat.completions.create(
        model="teller", messages=[*messages, said, {"role": "user", "content": "bye"}]
    )
    assert answer.choices[0].message.content == "BYE"
    assert [m.text for m in teller.batches[-1][0].chat.messages] == ["be kind", "hello", "HELLO", "bye"]


def test_the_official_client_raises_its_own_errors(live):
    import openai

    client = live.openai()
    ask = {"model": "teller", "messages": [{"role": "user", "content": "x"}]}
    with pytest.raises(openai.AuthenticationError):
        live.openai(api_key="wrong").models.list()
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**{**ask, "model": "gpt-4"})
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**ask, n=2)
    assert caught.value.param == "n"
    assert [model.id for model in client.models.list()] == ["teller"]


def test_the_official_client_does_not_pay_twice_for_what_the_victim_could_not_do(live, teller):
    import openai

    asked = len(teller.asked)
    with pytest.raises(openai.InternalServerError, match="out of coffee"):
        live.openai(max_retries=2).chat.completions.create(
            model="teller", messages=[{"role": "user", "content": "broken"}]
        )
    assert len(teller.asked) == asked + 1


# ------------------------------------------------------------------------------------------------ our own API victim


@pytest.fixture
def asked_by_us(live, monkeypatch):
    pytest.importorskip("inspect_ai", reason="needs the extra api: pip install inspect-ai openai")
    from proofglass.victims.inspect import ApiVictim

    monkeypatch.setenv("TOKEN_OF_THE_TESTS", TOKEN)
    url = f"{live.url}/v1"
    return ApiVictim(
        "teller", url, "openai-compatible", "TOKEN_OF_THE_TESTS", attempts=3, backoff_s=0.01, timeout_s=30.0
    )


def test_every_outcome_comes_back_as_it_was(asked_by_us, teller):
    before = len(teller.asked)
    words = ("hello", "cut", "stopped", "withheld", "filtered", "broken")
    hello, cut, stopped, withheld, filtered, broken = asked_by_us.reply([Ask(Chat.user(word)) for word in words])
    assert hello == Reply("HELLO", cost=Cost(queries=1, tokens_in=7, tokens_out=3))
    assert cut == OUTCOMES["cut"]
    assert (stopped.text, stopped.outcome, stopped.reason) == ("I cannot.", "blocked", "blocked by wall")
    assert (withheld.text, withheld.outcome) == ("", "filtered")
    assert (filtered.text, filtered.outcome) == ("sure, first", "filtered")
    assert (broken.text, broken.outcome) == ("", "error")
    assert "out of coffee" in broken.reason
    assert len(teller.asked) == before + len(words), "what the victim could not do was asked again"


def test_a_draw_is_the_draw_of_the_victim_behind(asked_by_us, teller):
    asked_by_us.reply([Ask(Chat.user("draw"), Settings(temperature=1.0, draw=k)) for k in (0, 1, 2)])
    drawn = [ask.settings.draw for batch in teller.batches for ask in batch if ask.chat.last_text == "draw"]
    assert sorted(drawn) == [0, 1, 2]


def test_a_picture_is_the_picture_of_the_victim_behind(asked_by_us, teller):
    (reply,) = asked_by_us.reply([Ask(Chat.user(picture(5), "what?", picture(6)).with_system("be kind"))])
    assert reply.text == "WHAT?"
    assert teller.batches[-1][0].chat == Chat.user(picture(5), "what?", picture(6)).with_system("be kind")
