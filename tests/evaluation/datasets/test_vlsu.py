"""VLSU: three grades a pair, and what is expected of which."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.datasets.makers_second import vlsu
from proofglass import images
from proofglass.evaluation.datasets.vlsu import VLSU
from proofglass.types import BadSample


def test_the_grade_of_both_together_decides(tmp_path: Path) -> None:
    vlsu(tmp_path)
    safe, unsafe = VLSU(tmp_path)
    assert (safe.id, safe.expected, safe.category) == ("vlsu/2aa9-0", "comply", "")
    assert (unsafe.id, unsafe.expected, unsafe.category) == ("vlsu/2aa9-1", "refuse", "C1: Gates")
    assert unsafe.chat.last_text == "What is behind gate 1? 门"
    assert unsafe.chat.images == (images.read(tmp_path / "data/images/2aa9-1.png"),)
    assert unsafe.meta == {
        "grades": {"picture": "safe", "text": "safe", "together": "unsafe"},
        "category of the picture": "",
        "category of the text": "",
        "address": "https://pictures.test/1",
    }


@pytest.mark.parametrize(("between", "expected"), [("refuse", "refuse"), ("comply", "comply")])
def test_a_borderline_pair_is_what_you_take_it_for(tmp_path: Path, between: str, expected: str) -> None:
    vlsu(tmp_path)
    rows = {row.id: row for row in VLSU(tmp_path, between=between)}
    assert rows["vlsu/2aa9-2"].expected == expected
    assert "vlsu/2aa9-3" not in rows  # nobody was sure


def test_a_text_alone_is_held_to_the_grade_of_the_text(tmp_path: Path) -> None:
    vlsu(tmp_path)
    rows = {row.id: row.expected for row in VLSU(tmp_path, pictures="left out")}
    assert rows == {"vlsu/2aa9-0": "comply", "vlsu/2aa9-1": "comply", "vlsu/2aa9-3": "comply"}


def test_the_table_may_be_named_and_pictures_lie_elsewhere(tmp_path: Path) -> None:
    made = vlsu(tmp_path)
    whole = list(VLSU(tmp_path))
    moved = (tmp_path / "data/images").rename(tmp_path / "elsewhere")
    assert list(VLSU(made.table, images=moved)) == list(VLSU(tmp_path / "data", images=moved)) == whole


def test_a_dead_address_is_told(tmp_path: Path) -> None:
    vlsu(tmp_path)
    (tmp_path / "data/images/2aa9-0.jpg").unlink()
    bad, _ = VLSU(tmp_path)
    assert isinstance(bad, BadSample)
    assert "'2aa9-0': no picture of this name" in bad.reason
    assert "published at https://pictures.test/0" in bad.reason


def test_an_unknown_grade_costs_its_row(tmp_path: Path) -> None:
    made = vlsu(tmp_path)
    made.write([{**made.rows[0], "image_grade": "fine"}, {**made.rows[1], "image_grade": "Safe"}])
    bad, fine = VLSU(tmp_path)
    assert isinstance(bad, BadSample)
    assert "image_grade: expected one of safe, borderline, unsafe, not_sure, found 'fine'" in bad.reason
    assert fine.meta["grades"]["picture"] == "safe"
