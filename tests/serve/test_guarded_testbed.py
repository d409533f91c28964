"""A testbed model behind a defense, served by a real server, asked by the official client."""

from __future__ import annotations

import concurrent.futures
import json

import pytest

from proofglass.registry import build
from proofglass.serve import Limits
from proofglass.types import Ask, Settings
from serve.live import data_url, serving

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


def test_a_chat_that_does_not_fit_the_model_is_an_error_of_its_own(live):
    import openai

    client = live.openai()
    long = [{"role": "user", "content": "word " * 3000}]
    with pytest.raises(openai.InternalServerError, match="do not fit") as caught:
        client.chat.completions.create(model="testbed-linear", messages=long)
    assert json.loads(caught.value.response.content)["error"]["type"] == "victim_error"
