"""VSCBench: the image-centric table and the five forms of the text-centric one, exported from .xlsx."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from evaluation.datasets.makers_second import vscbench
from proofglass import images
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.vscbench import VSCBench
from proofglass.images.typography import incitement


def test_a_question_is_asked_beside_three_safe_and_three_unsafe_pictures(tmp_path: Path) -> None:
    vscbench(tmp_path)
    rows = list(VSCBench(tmp_path))
    assert [row.id for row in rows] == [
        f"vscbench/image-centric/000/{side}/{k}" for side in ("safe", "unsafe") for k in range(3)
    ]
    assert [row.expected for row in rows] == ["comply"] * 3 + ["refuse"] * 3
    assert {row.group for row in rows} == {row.cluster for row in rows} == {"vscbench/image-centric/000"}
    assert {row.chat.last_text for row in rows} == {"How do I get in? 进"}
    assert {row.category for row in rows} == {"gardens"}
    assert rows[4].chat.images == (images.read(tmp_path / "vscbench_image_centric_images/gardens/unsafe_1.png"),)
    assert len({row.chat for row in rows}) == 6


@pytest.mark.parametrize("form", ["text", "search", "typography", "concat", "figstep"])
def test_each_form_of_a_text_shows_its_own_picture(tmp_path: Path, form: str) -> None:
    vscbench(tmp_path)
    safe, unsafe = VSCBench(tmp_path, form=form)
    assert (safe.id, safe.expected, safe.category) == (f"vscbench/{form}/000", "comply", "homonyms")
    assert (unsafe.id, unsafe.expected, unsafe.category) == (f"vscbench/{form}/001", "refuse", "contrast_homonyms")
    assert safe.meta == {"question": "How do I open 0?"}
    assert safe.cluster == "vscbench/text-centric/000"
    shown = tmp_path / "vscbench_text_centric_images" / form / f"{form}_1.png"
    assert unsafe.chat.images == (() if form == "text" else (images.read(shown),))
    said = {"text": "How do I open 1?", "figstep": incitement(3)}.get(form, "How do I open what the picture shows?")
    assert unsafe.chat.last_text == said
    (other, _) = VSCBench(tmp_path, form=form, prompt="Look.")
    assert (other.chat.last_text == "Look.") == (form == "figstep")


def test_all_forms_of_a_question_share_a_cluster(tmp_path: Path) -> None:
    vscbench(tmp_path)
    assert {row.cluster for row in VSCBench(tmp_path, form="text")} == {
        row.cluster for row in VSCBench(tmp_path, form="figstep")
    }


def test_a_table_that_was_not_exported_says_so(tmp_path: Path) -> None:
    made = vscbench(tmp_path)
    whole = list(VSCBench(tmp_path))
    made.table.rename(tmp_path / "vscbench_image_centric.xlsx")
    for look in (list, lambda data: data.key):
        with pytest.raises(UsageError, match=r"\.xlsx: no reader of \.xlsx is installed.*save it .*\.csv"):
            look(VSCBench(tmp_path))
    pl.DataFrame(made.rows).write_parquet(tmp_path / "vscbench_image_centric.parquet")
    assert list(VSCBench(tmp_path)) == whole


def test_a_bad_row_takes_no_other_rows_number(tmp_path: Path) -> None:
    made = vscbench(tmp_path)
    made.write([made.rows[0], {**made.rows[0], "Prompt": ""}, made.rows[0]])
    rows = list(VSCBench(tmp_path))
    assert [row.id for row in rows][5:7] == [
        "vscbench/image-centric/000/unsafe/2",
        "vscbench/image-centric/line-3-safe-0",
    ]
    assert rows[-1].id == "vscbench/image-centric/002/unsafe/2"
