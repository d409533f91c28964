"""The harness runs of docs/serving.md: Inspect as it stands there; of garak what it sends and how it reads answers."""

from __future__ import annotations

import re
from pathlib import Path

import openai
import pytest
import yaml

from proofglass.registry import build
from serve.live import TOKEN, serving

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text().partition("## Harnesses that were tried")[2]


@pytest.fixture(scope="module")
def live():
    with serving(build("victims", "testbed-linear")) as found:
        yield found


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.S)
    assert found
    return found[1]


@pytest.mark.slow  # Inspect takes long to load
def test_inspect_ends_with_the_stop_reasons_that_the_page_tells(live, tmp_path, monkeypatch):
    inspect_ai = pytest.importorskip("inspect_ai")
    names: dict = {}
    exec(block("python"), names)
    monkeypatch.setenv("PROOFGLASS_BASE_URL", f"{live.url}/v1")
    monkeypatch.setenv("PROOFGLASS_API_KEY", TOKEN)
    (log,) = inspect_ai.eval(
        names["long_and_short"](),
        model="openai-api/proofglass/testbed-linear",
        log_dir=str(tmp_path),
        display="none",
    )
    assert log.status == "success"
    assert [sample.output.stop_reason for sample in log.samples] == ["model_length", "stop"]
    assert "1604 tokens" in log.samples[0].output.completion


def test_what_garak_sends_is_taken_and_a_prompt_that_is_too_long_is_final_for_it(live):
    """garak's OpenAICompatible (0.17.1): its defaults as arguments; BadRequestError ends an ask, 502 repeats it."""
    told = yaml.safe_load(block("yaml"))["plugins"]
    client = live.openai()
    sent = {"model": told["target_name"], "n": 1, "temperature": 0.7, "top_p": 1.0, "frequency_penalty": 0.0}
    sent |= {"presence_penalty": 0.0, "stop": ["#", ";"], "max_tokens": 150}
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(messages=[{"role": "user", "content": "word " * 2000}], **sent)
    answer = client.chat.completions.create(messages=[{"role": "user", "content": "hello"}], **sent)
    assert answer.choices[0].message.content
