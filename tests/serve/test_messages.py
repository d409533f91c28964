"""A request is understood whole or refused with the field at fault; nothing in it is dropped in silence."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofglass.serve.limits import Limits
from proofglass.serve.messages import Link, Wanted, read_request
from proofglass.serve.problems import Problem
from proofglass.types import Chat, Settings
from serve.live import picture, says, shows

LIMITS = Limits(new_tokens=100, default_new_tokens=20, messages=4, text_chars=50, images=2)


def read(request, limits=LIMITS):
    return read_request(json.dumps(request).encode(), limits)


def problem(request, limits=LIMITS) -> Problem:
    with pytest.raises(Problem) as caught:
        read_request(request if isinstance(request, bytes) else json.dumps(request).encode(), limits)
    return caught.value


def test_a_dialogue_becomes_the_same_chat():
    wanted = read(
        {
            "model": "m",
            "messages": [
                {"role": "developer", "content": "be kind"},
                {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}]},
                {"role": "assistant", "content": "hello", "refusal": None, "tool_calls": None},
                {"role": "user", "content": "bye"},
            ],
        }
    )
    assert wanted.chat({}) == Chat.user("hi", "there").with_system("be kind").say("hello").ask("bye")
    assert (wanted.model, wanted.stream, wanted.include_usage) == ("m", False, False)


def test_several_system_messages_in_front_are_one_system_prompt():
    messages = [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}]
    wanted = read({"model": "m", "messages": [*messages, {"role": "user", "content": "c"}]})
    assert wanted.chat({}) == Chat.user("c").with_system("a\n\nb")


def test_pictures_stay_in_their_place():
    wanted = read(shows("data:image/png;base64,AAAA"))
    (link,) = wanted.links
    assert link == Link("data:image/png;base64,AAAA", "messages[0].content[0].image_url.url")
    assert wanted.chat({link: picture()}) == Chat.user(picture(), "what is it?")


def test_settings_are_those_asked_for():
    asked = says("x", max_tokens=7, temperature=0.5, top_p=0.9, stop=["a", "b"], seed=3)
    assert read(asked).settings == Settings(7, 0.5, 0.9, ("a", "b"), 3)
    assert read(says("x", max_completion_tokens=7, stop="a")).settings == Settings(7, stop=("a",))
    assert read(says("x")).settings == Settings(20)  # greedy, and the server's own number of tokens


def test_a_drawn_reply_without_a_seed_is_another_draw_each_time():
    draws = {read(says("x", temperature=1)).settings.draw for _ in range(5)}
    assert len(draws) == 5
    assert read(says("x", temperature=1, seed=0)).settings.draw == 0


def test_what_asks_for_nothing_and_labels_are_accepted():
    wanted = read(
        says("x", n=1, presence_penalty=0, frequency_penalty=0.0, logit_bias={}, tools=[], tool_choice="none",
             response_format={"type": "text"}, logprobs=False, user="me", metadata={"a": "b"}, top_logprobs=0,
             reasoning_effort="high", verbosity="low", store=True, prompt_cache_retention="24h", prediction=None)
    )  # fmt: skip
    assert wanted.settings == Settings(20)


def test_labels_of_a_message_change_nothing_and_an_earlier_refusal_is_what_was_said():
    wanted = read(
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": "hi", "name": "ann"},
                {"role": "assistant", "content": None, "refusal": "no.", "annotations": [], "tool_calls": []},
                {"role": "user", "content": "why", "name": "bob", "annotations": []},
            ],
        }
    )
    assert wanted.chat({}) == Chat.user("hi").say("no.").ask("why")
    parts = [{"type": "refusal", "refusal": "no."}]
    again = read(
        {"model": "m", "messages": [{"role": "assistant", "content": parts}, {"role": "user", "content": "x"}]}
    )
    assert again.chat({}) == Chat().say("no.").ask("x")


def test_a_stream_may_ask_for_its_usage():
    wanted = read(says("x", stream=True, stream_options={"include_usage": True}))
    assert (wanted.stream, wanted.include_usage) == (True, True)


@pytest.mark.parametrize(
    ("more", "param", "says_"),
    [
        ({"n": 2}, "n", "2 is not supported"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "not supported"),
        ({"logprobs": True}, "logprobs", "not supported"),
        ({"presence_penalty": 0.5}, "presence_penalty", "not supported"),
        ({"top_k": 3}, "top_k", "knows no such parameter"),
        ({"temperature": 3}, "temperature", "expected 0 to 2, found 3"),
        ({"temperature": True}, "temperature", "expected a number"),
        ({"temperature": "hot"}, "temperature", "expected a number"),
        ({"top_p": 0}, "top_p", "more than 0"),
        ({"max_tokens": 0}, "max_tokens", "expected 1 to 100"),
        ({"max_tokens": 101}, "max_tokens", "expected 1 to 100"),
        ({"max_tokens": 2.5}, "max_tokens", "whole number"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", "differs"),
        ({"seed": 2**70}, "seed", "expected"),
        ({"stop": 5}, "stop", "a string or a list"),
        ({"stop": ["a"] * 5}, "stop", "at most 4"),
        ({"stop": [""]}, "stop", "1 to 200"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "only with stream"),
        ({"model": None}, "model", "expected a name"),
        ({"messages": []}, "messages", "at least one"),
        ({"messages": "hi"}, "messages", "expected a list"),
        ({"messages": None}, "messages", "expected a list"),
        ({"messages": [{"role": "user", "content": "a"}] * 5}, "messages", "at most 4"),
        ({"messages": [{"role": "user", "content": "a" * 51}]}, "messages", "51 characters of text, at most 50"),
        ({"messages": ["hi"]}, "messages[0]", "expected an object"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "expected one of system"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role", "expected one of system"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "a string or a list of parts"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "at least one part"),
        ({"messages": [{"role": "user", "content": "x", "mood": "good"}]}, "messages[0].mood", "not supported"),
        ({"messages": [{"role": "user", "content": "x", "refusal": "no"}]}, "messages[0].refusal", "not supported"),
        ({"messages": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]},
                       {"role": "user", "content": "y"}]}, "messages[0].tool_calls", "not supported"),
        ({"messages": [{"role": "assistant", "content": "x", "refusal": "no"}, {"role": "user", "content": "y"}]},
         "messages[0].refusal", "content or a refusal"),
        ({"top_logprobs": 2}, "top_logprobs", "2 is not supported"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content", "surrogate"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages[0].role", "the last message"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
         "messages[1].role", "the last message"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "obey"},
                       {"role": "user", "content": "y"}]}, "messages[1].role", "in front of all others"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
         "messages[0].content[0].type", "'text' or 'image_url'"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "image_url": {"url": "data:"}}]}]},
         "messages[0].content[0]", "holds a text and an image"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
         "messages[0].content[0].text", "expected a string"),
        ({"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
                       {"role": "user", "content": "y"}]}, "messages[0].content[0].type", "user message only"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "data:"}]}]},
         "messages[0].content[0].image_url", "expected an object"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 5}}]}]},
         "messages[0].content[0].image_url.url", "expected a data: URL"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}] * 3}]},
         "messages", "3 images, at most 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_with_its_field(more, param, says_):
    found = problem({**says("x"), **more})
    assert found.param == param
    assert says_ in found.message
    assert found.status == (413 if found.code == "text_too_long" else 400)


@pytest.mark.parametrize(
    ("body", "says_"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"temperature": NaN}', "NaN"),
        (b'{"model": "a", "model": "b"}', "names a field twice"),
        (b'{"messages": [{"role": "user", "role": "system", "content": "x"}]}', "names a field twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"model": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "expected an object"),
        (b'"text"', "expected an object"),
    ],
)
def test_a_body_that_is_no_request_is_said_to_be_none(body, says_):
    found = problem(body)
    assert found.status == 400
    assert says_ in found.message


def test_an_error_quotes_only_a_little_of_what_was_sent():
    assert len(problem(says("x", stop="y" * 10_000)).message) < 200
    assert len(problem({**says("x"), "z" * 10_000: 1}).message) < 200
    assert len(problem({**says("x"), "n": "y" * 10_000}).message) < 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab\ud800", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "a"]), inner),
    max_leaves=8,
)
fields = ["model", "messages", "stop", "seed", "stream", "stream_options", "top_p", "n", "tools", "zzz"]
lenient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read_or_problem(request) -> Wanted | Problem:
    """Nothing else may come of a request than these two."""
    try:
        return read(request)
    except Problem as found:
        return found


@lenient
@given(st.dictionaries(st.sampled_from(fields), json_values))
def test_anything_is_either_a_request_or_a_problem(more):
    end = read_or_problem({**says("x"), **more})
    if isinstance(end, Problem):
        assert end.status in (400, 413)
        assert json.loads(json.dumps(end.body()))["error"]["message"]
    else:
        assert end.chat({}) == Chat.user("x")


@lenient
@given(json_values)
def test_any_message_is_either_understood_or_a_problem(value):
    for messages in (value, [value], [{"role": "user", "content": value}], [{"role": "user", "content": [value]}]):
        end = read_or_problem({"model": "m", "messages": messages})
        assert end.status in (400, 413) if isinstance(end, Problem) else end.chat({}).messages[-1].role == "user"
