"""Where a defense's words stand in a dialogue, and where they come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defenses.opened_parts import PICTURE
from proofglass.defenses.wording import around, check_slots, filled, user_texts, without_pictures
from proofglass.errors import UsageError
from proofglass.interfaces.wording import read, sha256, wording
from proofglass.types import Chat, Image

TEXTS = st.text(max_size=30)
PARTS = st.lists(st.one_of(TEXTS, st.just(PICTURE)), min_size=1, max_size=5)


@given(PARTS, TEXTS, TEXTS)
def test_only_the_texts_of_the_last_user_turn_grow_at_their_ends(parts: list[str | Image], a: str, b: str) -> None:
    chat = Chat.user("before").say("so").ask(*parts).with_system("s")
    found = around(chat, a, b)
    assert found.messages[:-1] == chat.messages[:-1]
    assert found.images == chat.images
    before = "".join(part for part in parts if isinstance(part, str))
    assert "".join(part for part in found.messages[-1].parts if isinstance(part, str)) == a + before + b


def test_a_dialogue_that_ends_with_the_assistant_grows_in_the_users_turn() -> None:
    assert around(Chat.user("q").say("a"), "<", ">") == Chat.user("<q>").say("a")


def test_a_dialogue_without_a_user_is_refused() -> None:
    with pytest.raises(ValueError, match="found no user turn"):
        around(Chat().say("a"), "<", ">")


@given(TEXTS, TEXTS)
def test_what_fills_a_slot_is_never_read_for_slots(a: str, b: str) -> None:
    assert filled("{question}|{answer}|{other}", question=a + "{answer}", answer=b) == f"{a}{{answer}}|{b}|{{other}}"


@pytest.mark.parametrize("template", ["no slot", "{question}{question}", ""])
def test_a_slot_stands_once(template: str) -> None:
    with pytest.raises(ValueError, match=r"^template: expected \{question\} in it once"):
        check_slots(template, "template", "{question}")


@pytest.mark.parametrize(("content", "fault"), [(b"", "is empty"), (b"\xff\xfe\x00", "is not UTF-8"), (None, "cannot")])
def test_a_file_that_is_no_wording_is_named(tmp_path: Path, content: bytes | None, fault: str) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"x.y_file: .*{fault}"):
        read(path, "x.y_file")


def test_a_file_is_taken_before_the_field_and_named_by_its_words(tmp_path: Path) -> None:
    (path := tmp_path / "words.txt").write_bytes("\ufeffbe kind\n".encode())
    assert wording("own", path, "f") == "be kind"
    assert sha256("be kind") == sha256(wording("own", path, "f")) != sha256("own")
    assert sha256("a", "b") != sha256("ab", "")


def test_all_that_the_user_wrote_and_no_picture() -> None:
    chat = Chat.user(PICTURE, "one").say("no").ask("two").with_system("rules")
    assert user_texts(chat) == "one\ntwo"
    assert without_pictures(Chat.user(PICTURE).say("so")) == Chat.user("").say("so")
    assert without_pictures(Chat.user("one")) == Chat.user("one")
