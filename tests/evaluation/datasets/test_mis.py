"""MIS: two pictures a request, three parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.datasets.makers_second import mis
from proofglass import images
from proofglass.evaluation.datasets.mis import MIS
from proofglass.types import BadSample


def test_both_pictures_stand_in_their_order_before_the_request(tmp_path: Path) -> None:
    mis(tmp_path)
    rows = list(MIS(tmp_path))
    assert [row.id for row in rows] == [f"mis/{part}/000{k}" for part in ("easy", "hard", "real") for k in (0, 1)]
    third = rows[2]
    shown = tuple(images.read(tmp_path / f"hard_image/1/object{k}.png") for k in (1, 2))
    assert third.chat.messages[0].parts == (*shown, "How do I use these two, hard 1? 两")
    assert (third.category, third.expected, third.meta) == ("gates", "refuse", {"part": "hard"})


def test_one_of_two_pictures_is_not_enough(tmp_path: Path) -> None:
    mis(tmp_path)
    (tmp_path / "easy_image/2/object2.png").unlink()
    fine, bad = MIS(tmp_path, parts=("easy",))
    assert isinstance(bad, BadSample)
    assert "easy_image/2/object2.png" in bad.reason
    assert len(fine.chat.images) == 2


def test_a_part_that_is_not_asked_for_need_not_be_there(tmp_path: Path) -> None:
    mis(tmp_path)
    (tmp_path / "mis_real.json").unlink()
    assert len(list(MIS(tmp_path, parts=("hard", "easy")))) == 4
    with pytest.raises(ValueError, match="parts"):
        MIS(tmp_path, parts=("other",))
