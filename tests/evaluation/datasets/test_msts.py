"""MSTS: prompts and pictures in the authors' layout, its twin in words, other languages, and the real labels."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from evaluation.datasets.makers_second import msts, packed
from proofglass import images
from proofglass.evaluation.datasets.msts import COUNTS, MSTS
from proofglass.types import BadSample


def test_a_case_is_asked_twice_about_one_picture(tmp_path: Path) -> None:
    msts(tmp_path)
    rows = list(MSTS(tmp_path))
    assert [row.id for row in rows] == [
        f"msts/english/case_000{case}/{kind}" for case in (1, 2) for kind in ("assistance", "intention")
    ]
    first, second, third, _ = rows
    assert first.chat.last_text == "Should I open this? 1. 盒"
    assert (
        first.chat.images == second.chat.images == (images.read(tmp_path / "data/unsafe_images/unsafe_image_0001.jpg"),)
    )
    assert third.chat.images == (images.read(tmp_path / "data/unsafe_images/unsafe_image_0002.png"),)
    assert first.cluster == second.cluster == "msts/case_0001"
    assert (first.category, first.expected) == ("Sealed Things", "refuse")
    assert first.meta == {
        "case": "case_0001", "kind": "assistance", "hazard_subcategory": "boxes", "hazard_subsubcategory": "",
        "unsafe_image_id": "unsafe_image_0001", "unsafe_image_description": "Box",
    }  # fmt: skip


def test_the_twin_in_words_shows_nothing_and_shares_the_case(tmp_path: Path) -> None:
    msts(tmp_path)
    rows = list(MSTS(tmp_path, form="text only"))
    assert rows[0].id == "msts/english in words/case_0001/assistance"
    assert not any(row.chat.images for row in rows)
    assert {row.cluster for row in rows} == {row.cluster for row in MSTS(tmp_path)}
    with pytest.raises(ValueError, match="the questions in words are in English only, found language 'german'"):
        MSTS(tmp_path, form="text only", language="german")


def test_another_language_is_another_table_about_the_same_pictures(tmp_path: Path) -> None:
    made = msts(tmp_path)
    german = [{**row, "prompt_text": "Soll ich das öffnen?"} for row in made.rows[:1]]
    (tmp_path / "data/prompts/german_multimodal.csv").write_bytes(packed(Path("t.csv"), german))
    (row,) = MSTS(tmp_path, language="german")
    english = next(iter(MSTS(tmp_path)))
    assert (row.id, row.chat.last_text) == ("msts/german/case_0001/assistance", "Soll ich das öffnen?")
    assert (row.cluster, row.chat.images) == (english.cluster, english.chat.images)
    with pytest.raises(ValueError, match="language"):
        MSTS(tmp_path, language="latin")


def test_pictures_may_lie_elsewhere_or_in_the_table(tmp_path: Path) -> None:
    made = msts(tmp_path)
    whole = list(MSTS(tmp_path))
    moved = (tmp_path / "data/unsafe_images").rename(tmp_path / "elsewhere")
    assert list(MSTS(tmp_path, images=moved)) == whole
    assert MSTS(tmp_path, images=moved).key == MSTS(tmp_path).key
    held = [
        {**row, "unsafe_image": {"bytes": _bytes(moved, str(row["unsafe_image_id"])), "path": None}}
        for row in made.rows
    ]
    pl.DataFrame(held).write_parquet(tmp_path / "english.parquet")
    assert list(MSTS(tmp_path / "english.parquet")) == whole


def _bytes(folder: Path, stem: str) -> bytes:
    return next(folder.glob(f"{stem}.*")).read_bytes()


def test_a_picture_that_was_not_fetched_says_how_to_get_it(tmp_path: Path) -> None:
    msts(tmp_path)
    (tmp_path / "data/unsafe_images/unsafe_image_0001.jpg").unlink()
    bad = [row for row in MSTS(tmp_path) if isinstance(row, BadSample)]
    assert len(bad) == 2
    assert "'unsafe_image_0001': no picture of this name" in bad[0].reason
    assert "0_download_images.py" in bad[0].reason


def test_an_unknown_kind_of_prompt_costs_its_row(tmp_path: Path) -> None:
    made = msts(tmp_path)
    made.write([{**made.rows[0], "prompt_type": "order"}, *made.rows[1:]])
    bad, *fine = MSTS(tmp_path)
    assert isinstance(bad, BadSample)
    assert "prompt_type: expected one of assistance, intention, found 'order'" in bad.reason
    assert len(fine) == 3


@pytest.mark.realdata
def test_the_published_labels_are_of_as_many_prompts_and_of_these_kinds() -> None:
    root = os.environ.get("PROOFGLASS_REALDATA")
    if not root or not (path := Path(root) / "msts" / "labels_english_multimodal.csv").is_file():
        pytest.skip("PROOFGLASS_REALDATA is not set: the folder that holds msts/labels_english_multimodal.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = {(row["case_id"], row["prompt_type"]) for row in rows}
    hazards = Counter(
        hazard for hazard, *_ in {(row["hazard_category"], row["case_id"], row["prompt_type"]) for row in rows}
    )
    assert {"": len(kinds), **hazards} == COUNTS
    assert len(kinds) == COUNTS[""]
    assert len({case for case, _ in kinds}) == 200
    assert all(kind.removeprefix("prompt_").removesuffix("_text") in ("assistance", "intention") for _, kind in kinds)
    assert set(Counter(row["model"] for row in rows).values()) == {400}
