"""A template of the user's: slots, files that are none, a hash on record."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from attacker_models import sample
from proofglass.attacks.crafting.templates import filled, slots_of
from proofglass.attacks.text.template import TextTemplate
from proofglass.errors import UsageError
from proofglass.registry import build
from proofglass.testing.material import Scripted, picture
from proofglass.types import Sample


def asked(file: Path, one: Sample) -> str:
    attack = TextTemplate(file)
    (artefact,) = attack.craft(Scripted(), [], seed=0)
    return attack.apply(artefact, one).last_text


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "template.txt"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_question_and_meta_stand_in_their_slots_and_other_braces_stay(tmp_path: Path) -> None:
    file = written(tmp_path, 'In JSON, {"q": "{question}", "n": {number}} {Not_a_slot} {question}')
    text = asked(file, sample("why ?", meta={"number": 7}))
    assert text == 'In JSON, {"q": "why ?", "n": 7} {Not_a_slot} why ?'


def test_what_fills_a_slot_is_not_read_for_slots_again() -> None:
    one = sample("{question} {other}", meta={"other": "x"})
    assert filled("<{question}>", {"question": one.chat.last_text}, one) == "<{question} {other}>"
    assert slots_of("{a}{b}{a}{A}{1}{}") == ("a", "b")


def test_the_hash_of_the_template_is_on_record_and_in_the_key(tmp_path: Path) -> None:
    file = written(tmp_path, "Say: {question}\n")
    attack = build("attacks", "text-template", file=file)
    (artefact,) = attack.craft(Scripted(), [], seed=0)
    assert artefact.meta["template_sha256"] == hashlib.sha256(b"Say: {question}").hexdigest()
    key = attack.key
    file.write_text("Tell: {question}")
    assert attack.key != key


def test_pictures_stay(tmp_path: Path) -> None:
    one = sample("why ?", picture(1))
    attack = TextTemplate(written(tmp_path, "{question}!"))
    (artefact,) = attack.craft(Scripted(), [], seed=0)
    assert attack.apply(artefact, one).images == one.chat.images


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no slot here", r"expected the slot \{question\} in it, found no slot"),
        ("{goal} only", r"expected the slot \{question\} in it, found \{goal\}"),
        (b"\xe4{question}", r"is not UTF-8 \(byte 0"),
        ("", "is empty"),
    ],
)
def test_a_file_that_is_no_template_is_told_with_its_name(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UsageError, match=f"text-template.file: .*template.txt.*{message}"):
        asked(written(tmp_path, text), sample())


@pytest.mark.parametrize("path", ["gone.txt", "."])
def test_a_missing_file_and_a_folder_are_told(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match=r"text-template.file: cannot read"):
        asked(tmp_path / path, sample())


@pytest.mark.parametrize("meta", [{}, {"why": None}, {"why": ["x"]}, {"why": True}])
def test_a_slot_that_a_sample_cannot_fill_costs_that_sample(tmp_path: Path, meta: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"sample s1: the template's slot \{why\}"):
        asked(written(tmp_path, "{question} {why}"), sample(meta=meta))


def test_a_sample_without_words_costs_itself(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found none"):
        asked(written(tmp_path, "{question}"), sample(" "))
