"""A testbed model behind a defense, served by a real server, asked by the official client."""

from __future__ import annotations

import concurrent.futures
import threading

import numpy as np
import pytest

from proofglass import images
from proofglass.registry import build
from proofglass.serve import Limits
from proofglass.types import Ask, Chat, Settings
from serve.live import data_url, picture, serving

SETTINGS = Settings(max_new_tokens=24)


@pytest.fixture(scope="module")
def guarded():
    return build("defenses", "self-moderation", rounds=1)(build("victims", "testbed-linear"))


@pytest.fixture(scope="module")
def asked():
    """Chats of the testbed with a picture, and what stands for them on the wire."""
    samples = list(build("datasets", "testbed", part="restricted-image", n=4, craft_n=1, seed=0))[:4]
    return [(sample.chat, on_the_wire(sample.chat)) for sample in samples]


def on_the_wire(chat) -> list[dict]:
    return [
        {
            "role": message.role,
            "content": [
                {"type": "text", "text": part}
                if isinstance(part, str)
                else {"type": "image_url", "image_url": {"url": data_url(part)}}
                for part in message.parts
            ],
        }
        for message in chat.messages
    ]


@pytest.fixture(scope="module")
def live(guarded):
    with serving(guarded, Limits(batch=16)) as found:
        yield found


@pytest.mark.parametrize("stream", [False, True])
def test_the_official_client_gets_what_the_defended_victim_says(live, guarded, asked, stream):
    expected = guarded.reply([Ask(chat, SETTINGS) for chat, _ in asked])
    client = live.openai()
    for (_, messages), reply in zip(asked, expected, strict=True):
        answer = client.chat.completions.create(
            model="testbed-linear", messages=messages, max_tokens=24, temperature=0, stream=stream
        )
        if stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
        else:
            text = answer.choices[0].message.content
            told = answer.model_extra["proofglass"]
            assert told["queries"] == reply.cost.queries == 3
            assert told["decisions"] == [{"defense": d.defense, "fired": d.fired} for d in reply.decisions]
            assert answer.usage.prompt_tokens == reply.cost.tokens_in
        assert text == reply.text != ""


def test_a_burst_of_100_pictures_is_answered_as_one_by_one(live, guarded, asked):
    expected = [reply.text for reply in guarded.reply([Ask(chat, SETTINGS) for chat, _ in asked])]
    client = live.openai(timeout=120)

    def ask(k: int) -> str:
        answer = client.chat.completions.create(
            model="testbed-linear", messages=asked[k % 4][1], max_tokens=24, temperature=0
        )
        return answer.choices[0].message.content

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(ask, range(100)))
    assert replies == [expected[k % 4] for k in range(100)]


def test_the_thread_that_answers_decodes_and_resizes_no_picture(live, asked, monkeypatch):
    """One request's pictures keep nobody else waiting: they are made ready before it gets its turn."""
    decode, threads = images.decode, []

    def noted(*given):
        threads.append(threading.current_thread().name)
        return decode(*given)

    monkeypatch.setattr(images, "decode", noted)
    content = [{"type": "image_url", "image_url": {"url": data_url(picture(seed, 300))}} for seed in range(4)]
    parts = [*content, {"type": "text", "text": "what is it ?"}]
    told = live.post({"model": "testbed-linear", "messages": [{"role": "user", "content": parts}], "max_tokens": 4})
    assert told.status_code == 200
    assert len(threads) == 4
    assert "victim" not in threads


def test_a_chat_that_does_not_fit_the_model_is_an_error_of_its_own(live):
    import openai

    client = live.openai()
    long = [{"role": "user", "content": "word " * 3000}]
    with pytest.raises(openai.BadRequestError, match="do not fit into its maximum context length of 512") as caught:
        client.chat.completions.create(model="testbed-linear", messages=long)
    assert (caught.value.code, caught.value.type) == ("context_length_exceeded", "invalid_request_error")
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_what_a_defense_adds_counts_towards_the_context():
    padded = build("defenses", "system-prompt", text="word " * 500)(build("victims", "testbed-linear"))
    with serving(padded) as live:
        told = live.post({"model": "testbed-linear", "messages": [{"role": "user", "content": "hello"}]})
    assert (told.status_code, told.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_the_context_window_is_listed_as_clients_look_for_it(live):
    (model,) = live.get("/v1/models").json()["data"]
    assert (model["context_window"], model["max_model_len"]) == (512, 512)
    assert live.get("/v1/models/testbed-linear").json() == model


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 1e-300}, {"temperature": 5e-324}, {"temperature": 1, "top_p": 1e-300}, {"temperature": 2},
        {"temperature": 1, "seed": -(2**63)}, {"stop": [" "]}, {"reasoning_effort": "low", "verbosity": "high"},
    ],
)  # fmt: skip
def test_no_setting_that_is_accepted_breaks_the_model(live, more):
    request = {"model": "testbed-linear", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, **more}
    assert live.post(request).status_code == 200


@pytest.mark.parametrize(
    "text", ["", "\x00", "\u202e x", "<s>", "</s>", "<image>", "\U0001f600" * 50, " \n\n", "a" * 5000]
)
def test_no_text_is_the_servers_fault(live, text):
    turns = [{"role": "assistant", "content": text}, *[{"role": "user", "content": text}] * 2]
    told = live.post({"model": "testbed-linear", "messages": turns, "max_tokens": 1})
    assert told.status_code in (200, 400)


def test_a_picture_that_the_model_cannot_take_is_the_callers_fault():
    from proofglass.types import Image

    # Its own template shows one marker per picture; a text-only sibling of the testbed takes none.
    blind = build("victims", "testbed-lm-aligned")
    (reply,) = blind.reply([Ask(Chat.user(Image.from_array(np.zeros((4, 4, 3), np.uint8)), "hello"))])
    assert (reply.outcome, reply.fault) == ("error", "ask")
