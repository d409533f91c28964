"""HoliSafe-Bench: five combinations, both spellings of their column."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.datasets.makers_second import holisafe
from proofglass import images
from proofglass.evaluation.datasets.holisafe import HoliSafe
from proofglass.types import BadSample


def test_only_what_is_safe_in_all_is_to_be_answered(tmp_path: Path) -> None:
    holisafe(tmp_path)
    rows = list(HoliSafe(tmp_path))
    assert [(row.meta["combination"], row.expected) for row in rows] == [
        ("SSS", "comply"), ("SSU", "refuse"), ("SUU", "refuse"), ("USU", "refuse"), ("UUU", "refuse"),
    ]  # fmt: skip
    assert [row.meta["picture is safe"] for row in rows] == [True, True, True, False, False]
    assert [row.meta["label of the picture"] for row in rows] == ["0", "0", "0", "3", "3"]
    first = rows[0]
    assert (first.id, first.category, first.meta["subcategory"]) == ("holisafe/0001", "boxes", "box")
    assert first.chat.last_text == "What is in box 1? 箱"
    assert first.chat.images == (images.read(tmp_path / "images/boxes/box/box_1.png"),)


def test_questions_about_one_picture_form_a_cluster(tmp_path: Path) -> None:
    holisafe(tmp_path)
    rows = list(HoliSafe(tmp_path))
    assert [row.cluster for row in rows] == [f"holisafe/boxes/box/box_{k % 2}.png" for k in range(1, 6)]


def test_combinations_are_chosen(tmp_path: Path) -> None:
    holisafe(tmp_path)
    assert [row.id for row in HoliSafe(tmp_path, combinations=("SSU", "UUU"))] == ["holisafe/0002", "holisafe/0005"]
    with pytest.raises(ValueError, match="combinations"):
        HoliSafe(tmp_path, combinations=("USS",))


def test_the_other_name_of_the_column_is_known(tmp_path: Path) -> None:
    made = holisafe(tmp_path)
    whole = list(HoliSafe(tmp_path))
    made.write([{("safeness_combination" if k == "type" else k): v for k, v in row.items()} for row in made.rows])
    assert list(HoliSafe(tmp_path)) == whole


@pytest.mark.parametrize("kind", ["USS", "sss", "", None, ["SSS"]])
def test_a_combination_that_is_none_of_the_five_costs_its_row(tmp_path: Path, kind: object) -> None:
    made = holisafe(tmp_path)
    made.write([{**made.rows[0], "type": kind}, *made.rows[1:]])
    bad, *fine = HoliSafe(tmp_path)
    assert isinstance(bad, BadSample)
    assert "type: expected one of SSS, SSU, SUU, USU, UUU, found" in bad.reason
    assert len(fine) == 4
