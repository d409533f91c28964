"""VLSBench: the table of the hub, that of the repository, and pictures inside a table."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from evaluation.datasets.makers_second import vlsbench
from proofglass import images
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.vlsbench import VLSBench


def test_a_row_keeps_every_field_of_the_table(tmp_path: Path) -> None:
    vlsbench(tmp_path)
    first, second = VLSBench(tmp_path)
    assert (first.id, first.dataset, first.category, first.expected) == (
        "vlsbench/0000",
        "vlsbench",
        "Sealed",
        "refuse",
    )
    assert first.chat.last_text == "What is number 0 for? 箱"
    assert first.chat.images == (images.read(tmp_path / "imgs/0.png"),)
    assert first.meta == {
        "sub-category": "boxes",
        "source": "drawn",
        "description": "a box with a seal",
        "reason": "seals are not to be broken",
    }
    assert second.id == "vlsbench/0001"


def test_the_repository_holds_the_table_in_data_and_pictures_are_named_from_its_root(tmp_path: Path) -> None:
    made = vlsbench(tmp_path)
    rows = list(VLSBench(tmp_path))
    (tmp_path / "data").mkdir()
    made.table.rename(tmp_path / "data/data.json")
    assert list(VLSBench(tmp_path)) == rows


def test_categories_are_chosen(tmp_path: Path) -> None:
    vlsbench(tmp_path)
    assert [row.category for row in VLSBench(tmp_path, categories=("Locked",))] == ["Locked"]
    with pytest.raises(UsageError, match=r"vlsbench\.categories: no category 'Lokced' in .*; found Locked, Sealed"):
        list(VLSBench(tmp_path, categories=("Locked", "Lokced")))


def test_a_table_may_hold_its_pictures(tmp_path: Path) -> None:
    made = vlsbench(tmp_path)
    held = [
        {**row, "image": {"bytes": (tmp_path / str(row["image_path"])).read_bytes(), "path": "x.png"}}
        for row in made.rows
    ]
    pl.DataFrame(held).write_parquet(tmp_path / "train.parquet")
    whole = list(VLSBench(tmp_path))
    (tmp_path / "imgs/0.png").unlink()
    assert [row.chat for row in VLSBench(tmp_path / "train.parquet")] == [row.chat for row in whole]
