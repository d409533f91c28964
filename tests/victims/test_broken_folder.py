"""A model folder that a stranger made: one line that names what is broken in it, and none of its code runs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from proofglass.errors import UsageError
from proofglass.types import Ask, Chat
from proofglass.victims.hf_folder import HF

from .families import tiny_llava


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("tiny") / "model"
    tiny_llava.build(made)
    return made


def changed(name: str, **fields: Any) -> Callable[[Path], None]:
    """Changes of a JSON file; a dotted field goes into a section."""

    def work(folder: Path) -> None:
        file = folder / name
        stated = json.loads(file.read_text()) if file.is_file() else {}
        for field, value in fields.items():
            section, _, last = field.rpartition("__")
            (stated[section] if section else stated)[last] = value
        file.write_text(json.dumps(stated))

    return work


def written(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


FORBIDDEN = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
BROKEN = {
    "config.json is no JSON": (written("config.json", "{"), "config.json: no JSON that can be read"),
    "config.json is a list": (written("config.json", "[1]"), "config.json: expected a JSON object, found list"),
    "architectures is a number": (changed("config.json", architectures=5), "has no adapter"),
    "architectures holds a list": (changed("config.json", architectures=[[]]), "has no adapter"),
    "a section is a list": (changed("config.json", text_config=[]), "cannot be built as config.json says"),
    "a width is a word": (changed("config.json", text_config__hidden_size="x"), "cannot be built as config.json says"),
    "heads that do not divide": (changed("config.json", text_config__num_attention_heads=0), "config.json"),
    "a type that is not there": (changed("config.json", text_config__model_type="nope"), "config.json says"),
    "a million layers": (changed("config.json", text_config__num_hidden_layers=10**6), "promises 1000000 layers"),
    "tokenizer.json is no JSON": (written("tokenizer.json", "{"), "no tokenizer that can be read"),
    "tokenizer.json is another thing": (written("tokenizer.json", '{"a": 1}'), "no tokenizer that can be read"),
    "preprocessor_config.json is a list": (written("preprocessor_config.json", "[]"), "found list"),
    "the image processor is unknown": (
        changed("preprocessor_config.json", image_processor_type="Nope", processor_class=None),
        "no image processor that can be read",
    ),
    "the size of pictures is a word": (changed("preprocessor_config.json", size="x"), "image processor"),
    "processor_config.json is no JSON": (written("processor_config.json", "x"), "processor_config.json: no JSON"),
    "generation_config.json is no JSON": (written("generation_config.json", "x"), "generation_config.json: no JSON"),
    "generation_config.json is a list": (written("generation_config.json", "[]"), "found list"),
    "a template that the sandbox stops": (written("chat_template.jinja", FORBIDDEN), "SecurityError"),
    "a template that is no Jinja": (written("chat_template.jinja", "{% for %}"), "TemplateSyntaxError"),
    "a template that divides by zero": (written("chat_template.jinja", "{{ 1 / 0 }}"), "ZeroDivisionError"),
    "a template that refuses everything": (
        written("chat_template.jinja", "{{ raise_exception('no\nno') }}"),
        "its chat template cannot be used (TemplateError: no)",
    ),
    "a template that never ends": (
        written("chat_template.jinja", "{% for i in range(10 ** 9) %}{% endfor %}"),
        "its chat template cannot be used (OverflowError",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_one_line(copy: Path, what: str) -> None:
    spoil, said = BROKEN[what]
    spoil(copy)
    with pytest.raises(UsageError) as caught:
        HF(copy, device="cpu").reply([Ask(Chat.user("hi"))])
    assert said in str(caught.value)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hundred_thousand_layers_are_refused_before_they_are_built(copy: Path, monkeypatch) -> None:
    changed("config.json", text_config__num_hidden_layers=100_000)(copy)
    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", None)  # building them takes minutes
    with pytest.raises(UsageError, match=r"text_config\.num_hidden_layers: promises 100000 layers, .* at most 3"):
        HF(copy, device="cpu").reply([Ask(Chat.user("hi"))])


def test_the_card_of_a_broken_folder_is_one_line_too(copy: Path) -> None:
    written("chat_template.jinja", FORBIDDEN)(copy)
    with pytest.raises(UsageError, match="SecurityError"):
        HF(copy, device="cpu").card()


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("config.json", "AutoConfig"),
        ("config.json", "AutoModelForImageTextToText"),
        ("tokenizer_config.json", "AutoTokenizer"),
        ("preprocessor_config.json", "AutoImageProcessor"),
        ("processor_config.json", "AutoProcessor"),
    ],
)
@pytest.mark.parametrize("place", ["own.Own", "else/where--own.Own"])
def test_code_of_a_folder_is_never_run(copy: Path, tmp_path: Path, file: str, part: str, place: str) -> None:
    ran = tmp_path / "ran"
    (copy / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    named: Any = [place, place] if part == "AutoTokenizer" else place
    changed(file, auto_map={part: named})(copy)
    with contextlib.suppress(UsageError):  # else with the library's own class of that name
        HF(copy, device="cpu").reply([Ask(Chat.user("hi"))])
    assert not ran.exists()
