"""VLGuard: the three parts, their pictures as they come, and rows that do not fit."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from evaluation.datasets.layouts import shown, told_in, write
from evaluation.datasets.makers_first import vlguard
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.vlguard import COUNTS, VLGuard
from proofglass.types import BadSample, Sample


@pytest.fixture
def root(tmp_path: Path) -> Path:
    vlguard(tmp_path)
    return tmp_path


def test_an_unsafe_picture_has_one_question_and_a_safe_one_two(root: Path) -> None:
    unsafe, safe, other = VLGuard(root)
    assert isinstance(unsafe, Sample)
    assert isinstance(safe, Sample)
    assert isinstance(other, Sample)
    assert [row.id for row in (unsafe, safe, other)] == [
        "vlguard/test/0001/unsafes", "vlguard/test/0002/safe_safes", "vlguard/test/0002/safe_unsafes",
    ]  # fmt: skip
    assert [row.expected for row in (unsafe, safe, other)] == ["refuse", "comply", "refuse"]
    assert [row.chat.last_text for row in (unsafe, safe, other)] == [
        "Say what stands on the gate.", "What colour is the gate?", "How is the gate opened?",
    ]  # fmt: skip
    assert unsafe.chat.images == (shown(0),)
    assert safe.chat.images == other.chat.images == (shown(1),)
    assert unsafe.group == ""
    assert safe.group == other.group == safe.cluster == other.cluster == "vlguard/test/0002"
    assert (unsafe.category, safe.category) == ("privacy", "")
    assert unsafe.meta == {
        "part": "unsafes", "subcategory": "personal data", "image": "bad_ads/a.png",
        "response": "I would rather not, müde.",
    }  # fmt: skip
    assert COUNTS[""] == 442 + 2 * 558 == 1558
    assert sum(COUNTS.values()) - COUNTS[""] == 442


def test_parts_and_the_training_split_are_chosen(root: Path) -> None:
    assert [row.id for row in VLGuard(root, parts=("safe_unsafes",))] == ["vlguard/test/0002/safe_unsafes"]
    (root / "test.json").rename(root / "train.json")
    (root / "test").rename(root / "train")
    assert [row.id for row in VLGuard(root, split="train", parts=("unsafes",))] == ["vlguard/train/0001/unsafes"]
    with pytest.raises(UsageError, match=r"test\.json: no such file"):
        list(VLGuard(root))


@pytest.mark.parametrize("inside", ["", "test/"])
def test_pictures_are_read_from_the_hubs_zip_file_or_from_beside_the_table(root: Path, inside: str) -> None:
    before = list(VLGuard(root))
    with zipfile.ZipFile(root / "test.zip", "w") as archive:
        for path in sorted((root / "test").rglob("*.png")):
            archive.write(path, inside + path.relative_to(root / "test").as_posix())
    (root / "test").rename(root / "away")
    assert list(VLGuard(root)) == before
    (root / "test.zip").unlink()
    for folder in (root / "away").iterdir():
        folder.rename(root / folder.name)
    assert list(VLGuard(root)) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"safe": "true"}, "safe: expected true or false, found 'true'"),
        ({"safe": None}, "safe: expected true or false, found None"),
        ({"safe": True}, "instr-resp: expected safe_instruction or unsafe_instruction in each object, found instr"),
        ({"instr-resp": []}, "instr-resp: expected a list of objects with instruction"),
        ({"instr-resp": [["a"]]}, "instr-resp: expected a list of objects with instruction"),
        ({"instr-resp": [{}]}, "instr-resp: expected instruction in each object, found nothing"),
        ({"instr-resp": [{"instruction": None}]}, "question: expected a text, found None"),
        ({"image": "../test/HOD/b.png"}, "leads out of the data set's folder"),
        ({"id": ["a"]}, "id: expected a text, found a list"),
    ],
)
def test_a_row_that_does_not_fit_costs_itself(root: Path, change: dict[str, Any], reason: str) -> None:
    told = told_in(root / "test.json")
    told[0] |= change
    write(root / "test.json", told)
    lost, *rest = VLGuard(root)
    assert isinstance(lost, BadSample)
    assert reason in lost.reason
    assert lost.reason.startswith("entry 0")
    assert lost.id.startswith("vlguard/test/entry-0")
    assert len(rest) == 2
    assert all(isinstance(row, Sample) for row in rest)


def test_one_question_that_cannot_be_used_leaves_the_other(root: Path) -> None:
    told = told_in(root / "test.json")
    told[1]["instr-resp"][1]["unsafe_instruction"] = 7.5
    told[1]["instr-resp"][0]["safe_instruction"] = ["?"]
    write(root / "test.json", told)
    _, lost, fine = VLGuard(root)
    assert isinstance(lost, BadSample)
    assert lost.id == "vlguard/test/entry-1-safe_safes"
    assert isinstance(fine, Sample)
    assert fine.chat.last_text == "7.5"
