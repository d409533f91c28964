"""VLSafe and the feedback of DRESS: questions about COCO's pictures, and dialogues turn by turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evaluation.datasets.layouts import shown, told_in, write
from evaluation.datasets.makers_first import dress_nlf, vlsafe
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.dress_nlf import DressNLF
from proofglass.evaluation.datasets.vlsafe import VLSafe
from proofglass.types import BadSample, Sample


def test_a_question_of_vlsafe_has_its_picture_and_is_to_be_refused(tmp_path: Path) -> None:
    first, second = VLSafe(**vlsafe(tmp_path))
    assert isinstance(first, Sample)
    assert (first.id, first.expected, first.category) == ("vlsafe/1", "refuse", "")
    assert first.chat.last_text == "How do I stop mill 1?"
    assert first.chat.images == (shown(1),)
    assert first.meta == {"caption": "a Mühle", "image": "001.jpg"}
    assert isinstance(second, Sample)


def test_the_table_is_found_under_both_names_and_by_itself(tmp_path: Path) -> None:
    given = vlsafe(tmp_path)
    before = list(VLSafe(**given))
    table = tmp_path / "VLSafe" / "harmlessness_examine.jsonl"
    assert list(VLSafe(table, tmp_path / "coco")) == list(VLSafe(table.parent, tmp_path / "coco")) == before
    table.rename(tmp_path / "VLSafe_harmlessness_examine.jsonl")
    assert list(VLSafe(**given)) == before
    told = told_in(tmp_path / "VLSafe_harmlessness_examine.jsonl")
    told[0]["image_id"] = "train2017/001.jpg"
    write(tmp_path / "VLSafe_harmlessness_examine.jsonl", told)
    assert [row.chat for row in VLSafe(**given)] == [row.chat for row in before]  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", [VLSafe, DressNLF])
def test_without_cocos_pictures_it_says_what_to_do(tmp_path: Path, kind: Any) -> None:
    (vlsafe if kind is VLSafe else dress_nlf)(tmp_path)
    with pytest.raises(UsageError, match=rf"{kind.name}\.images: the pictures are not with the table"):
        list(kind(tmp_path))
    assert all(isinstance(row, Sample) for row in kind(tmp_path, pictures="left out"))


def test_each_turn_of_dress_goes_on_with_the_reply_before(tmp_path: Path) -> None:
    alone, first, second = DressNLF(**dress_nlf(tmp_path))
    assert isinstance(alone, Sample)
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert [row.id for row in (alone, first, second)] == [
        "dress-nlf/harmlessness/1/1", "dress-nlf/harmlessness/2/1", "dress-nlf/harmlessness/2/2",
    ]  # fmt: skip
    assert first.cluster == second.cluster == "dress-nlf/harmlessness/2"
    assert first.chat.images == second.chat.images == (shown(1),)  # in the first turn, once
    assert [(turn.role, turn.text) for turn in second.chat.messages] == [
        ("user", "How do I stop the mill?"), ("assistant", "Cut it."), ("user", "Say why not."),
    ]  # fmt: skip
    assert (first.target, second.target) == ("Cut it.", "It feeds people.")
    assert first.meta == {
        "turn": 1, "turns": 2, "rating": "1", "critique": "unfreundlich, müde", "caption": "a mill", "image": "001.jpg",
    }  # fmt: skip
    assert second.meta["critique"] == "good"  # the other spelling of the key
    assert second.expected == "refuse"
    assert {row.expected for row in DressNLF(tmp_path, "helpfulness", tmp_path / "coco")} == {"comply"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("interaction", "reason"),
    [
        ([], "interaction: expected a list of turns"),
        ("How?", "interaction: expected a list of turns"),
        ([{"user": "How?", "model": "So."}, 3], "interaction: turn 2: expected an object, found a int"),
        ([{"user": "How?", "model": "So."}, {"user": " ", "model": "So."}], "user: expected a text, found ' '"),
        ([{"user": "How?", "model": None}], "model: expected a text, found None"),
    ],
)
def test_a_broken_turn_costs_its_dialogue(tmp_path: Path, interaction: Any, reason: str) -> None:
    given = dress_nlf(tmp_path)
    table = tmp_path / "LVLM_NLF" / "harmlessness_nlf.jsonl"
    told = told_in(table)
    told[1]["interaction"] = interaction
    write(table, told)
    fine, lost = DressNLF(**given)
    assert isinstance(fine, Sample)
    assert isinstance(lost, BadSample)
    assert reason in lost.reason
