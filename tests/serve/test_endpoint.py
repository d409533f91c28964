"""The endpoint over HTTP: shapes of answers, outcomes, streams."""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest

from proofglass.interfaces import Defense
from proofglass.types import Ask
from serve.live import TOKEN, Teller, data_url, picture, says, serving, shows
from serve.outcomes import OUTCOMES


def events(response) -> list:
    """The chunks of a stream, [DONE] as None."""
    lines = [line for line in response.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [None if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


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
