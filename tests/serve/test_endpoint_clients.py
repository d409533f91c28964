"""The endpoint as the official client and our own API victim see it."""

from __future__ import annotations

import pytest

from proofglass.types import Ask, Chat, Cost, Reply, Settings
from serve.live import TOKEN, data_url, picture
from serve.outcomes import OUTCOMES

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
