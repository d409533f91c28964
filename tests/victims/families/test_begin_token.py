"""Begin tokens: whoever writes them, template, tokenizer, both or neither, our ids are those that a user of
transformers gets by default, in every family, wherever the template stands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoProcessor, AutoTokenizer

from proofglass.types import Chat
from proofglass.victims.hf import checks, fidelity
from proofglass.victims.hf.chats import chats_in
from proofglass.victims.hf.model import HFModel
from proofglass.victims.hf_folder import HF

from . import tiny_llava, tiny_llava_next
from .common import Case

BEGIN = 1
TEMPLATE = "{{ bos_token }}"
PLACES = ["tokenizer", "jinja", "chat_template.json", "processor"]
OLDER = {"BLIP-2 OPT", "BLIP-2 Llama", "InstructBLIP", "MiniGPT-4", "IDEFICS", "IDEFICS instruct"}
"""Families whose processor is older than templates: its own way of calling is in `Family.official`."""


@pytest.fixture(scope="module")
def built(case: Case, folder: Path) -> tuple[Case, Path]:
    return case, folder


def rewrite(folder: Path, out: Path, *, template: bool, tokenizer: bool, place: str = "tokenizer") -> Path:
    """A copy whose template, and whose tokenizer, write the begin token or do not. place: where the template stands."""
    shutil.copytree(folder, out)
    words = AutoTokenizer.from_pretrained(folder)
    said = words.chat_template
    words.add_bos_token, words.chat_template = tokenizer, None
    for name in ("chat_template.jinja", "chat_template.json"):
        (out / name).unlink(missing_ok=True)
    words.save_pretrained(out)
    if said is None:
        return out
    said = (TEMPLATE if template else "") + said.replace(TEMPLATE, "")
    if place == "tokenizer":
        words.chat_template = said
        words.save_pretrained(out, save_jinja_files=False)
    elif place == "jinja":
        (out / "chat_template.jinja").write_text(said)
    elif place == "chat_template.json":
        (out / place).write_text(json.dumps({"chat_template": said}))
    else:
        stated = json.loads((out / "processor_config.json").read_text())
        (out / "processor_config.json").write_text(json.dumps({**stated, "chat_template": said}))
    return out


def by_hand(folder: Path, chat: Chat, messages: list[dict[str, Any]]) -> list[int]:
    """`AutoProcessor` and its own template, as the documentation of transformers has it."""
    processor, pictures = AutoProcessor.from_pretrained(folder), iter(chat.images)
    for message in messages:
        for part in message["content"] if isinstance(message["content"], list) else []:
            if part["type"] == "image":
                part["image"] = checks.pillow(next(pictures).array())
    template = processor.chat_template or processor.tokenizer.chat_template
    told = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    return processor.apply_chat_template(messages, chat_template=template, **told)["input_ids"][0].tolist()


@pytest.fixture
def chat() -> Chat:
    return Chat.user(checks.odd_pictures(1, seed=3, sides=(40, 90))[0], "what is it?")


@pytest.mark.parametrize("template", [True, False], ids=["template", "-"])
@pytest.mark.parametrize("tokenizer", [True, False], ids=["tokenizer", "-"])
def test_ids_are_those_of_the_processor(
    built: tuple[Case, Path], tmp_path: Path, chat: Chat, template: bool, tokenizer: bool
) -> None:
    case, folder = built
    made = rewrite(folder, tmp_path / "model", template=template, tokenizer=tokenizer)
    model = HFModel(made, "cpu")
    assert checks.ids_agree(model, [chat, Chat.user(chat.images[0], "a").say("b").ask("c")])
    ids = model.encode_chat(chat).ids
    if case.name in OLDER or "PaliGemma" in case.name:
        return  # begin tokens that processor or family writes whatever the folder says
    expected = 1 if template or tokenizer else 0
    if case.name == "Mllama":  # its processor sees to one, and does not look whether the tokenizer adds another
        expected = 1 if template else 1 + tokenizer
    assert ids.count(BEGIN) == expected


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("template", "tokenizer"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("family", [tiny_llava, tiny_llava_next], ids=["LLaVA-1.5", "LLaVA-NeXT"])
def test_ids_are_those_of_the_processor_wherever_the_template_stands(
    family: Any, tmp_path: Path, chat: Chat, place: str, template: bool, tokenizer: bool
) -> None:
    family.build(tmp_path / "built")
    made = rewrite(tmp_path / "built", tmp_path / "model", template=template, tokenizer=tokenizer, place=place)
    model = HFModel(made, "cpu")
    assert list(model.encode_chat(chat).ids) == by_hand(made, chat, model.chats.messages(chat))
    if not (template and tokenizer):  # and then the older way, in two calls, is the same
        assert checks.in_two_calls(model, chat) == list(model.encode_chat(chat).ids)


def test_a_processor_s_template_goes_before_the_tokenizer_s(tmp_path: Path, chat: Chat) -> None:
    tiny_llava.build(tmp_path / "built")
    made = rewrite(tmp_path / "built", tmp_path / "model", template=True, tokenizer=False)
    own = AutoTokenizer.from_pretrained(made).chat_template
    (made / "chat_template.json").write_text(json.dumps({"chat_template": "Look. " + own}))
    assert chats_in(made).render(chat).startswith("Look. <s><user>")
    assert list(HFModel(made, "cpu").encode_chat(chat).ids) == by_hand(made, chat, chats_in(made).messages(chat))


def test_the_family_s_own_template_gets_the_tokenizer_s_begin_token(tmp_path: Path, chat: Chat) -> None:
    """LLaVA-1.5 without a template: the prompt of its paper, given to the processor as text."""
    tiny_llava.build(tmp_path / "built")
    for tokenizer in (True, False):
        made = rewrite(tmp_path / "built", tmp_path / f"model-{tokenizer}", template=False, tokenizer=tokenizer)
        words = AutoTokenizer.from_pretrained(made)
        words.chat_template = None
        for name in ("chat_template.jinja", "tokenizer_config.json"):
            (made / name).unlink(missing_ok=True)
        words.save_pretrained(made)
        model, processor = HFModel(made, "cpu"), AutoProcessor.from_pretrained(made)
        text, picture = "USER: <image>\nwhat is it? ASSISTANT:", checks.pillow(chat.images[0].array())
        expected = processor(text=text, images=picture)["input_ids"][0]
        assert model.chats.template_source == "family"
        assert list(model.encode_chat(chat).ids) == list(expected)
        assert (expected[0] == BEGIN) is tokenizer


def test_a_text_only_model_gets_what_its_tokenizer_s_template_writes(tmp_path: Path) -> None:
    """`tokenizer.apply_chat_template(tokenize=True)` adds no token; it is what users of such models call."""
    from tiny_models import build

    build("lm", tmp_path / "lm")
    for tokenizer in (True, False):
        made = rewrite(tmp_path / "lm", tmp_path / f"{tokenizer}", template=True, tokenizer=tokenizer)
        words, asked = AutoTokenizer.from_pretrained(made), [{"role": "user", "content": "hello"}]
        expected = words.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=False)
        assert list(chats_in(made).encode(Chat.user("hello")).ids) == list(expected)


def test_check_and_card_tell_who_writes_it_and_where_two_calls_disagree(tmp_path: Path, chat: Chat) -> None:
    tiny_llava.build(tmp_path / "built")
    said = {}
    for template in (True, False):
        for tokenizer in (True, False):
            key = f"{template}-{tokenizer}"
            made = rewrite(tmp_path / "built", tmp_path / key, template=template, tokenizer=tokenizer)
            found = fidelity._tokens(HFModel(made, "cpu"), [chat])
            assert found.check == "token ids are the official ones"
            assert found.ok
            said[key] = found.measured, HF(made).card()["begin_token"]
    assert "begin token written by template and tokenizer" in said["True-True"][0]
    assert said["True-True"][1] == "written by template and tokenizer"
    assert said["True-False"][1] == "written by template"
    assert said["False-True"][1] == "written by tokenizer"
    assert said["False-False"][1] == "written by nobody"
    # 1 begin token, and 1 more where the rendered chat is tokenised once again with the tokenizer's own.
    one = len(HFModel(tmp_path / "True-True", "cpu").encode_chat(chat).ids)
    assert f"is followed, {one} ids" in said["True-True"][0]
    assert f"gives {one + 1}" in said["True-True"][0]
    assert all("is followed" not in said[key][0] for key in said if key != "True-True")
