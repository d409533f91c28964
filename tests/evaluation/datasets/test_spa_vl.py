"""SPA-VL: test questions and pairs, in the hub's tables and the authors' JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.datasets.layouts import draw, shown, told_in, write
from evaluation.datasets.makers_first import spa_vl, spa_vl_preferences
from proofglass import images
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.spa_vl import SPAVL, SPAVLPreferences
from proofglass.types import BadSample, Sample


def test_a_test_question_has_its_picture_out_of_the_table(tmp_path: Path) -> None:
    spa_vl(tmp_path)
    first, second = SPAVL(tmp_path)
    assert isinstance(first, Sample)
    assert first.id == "spa-vl/harm-00000-of-00001/1"
    assert first.chat.images == (shown(1),)
    assert first.chat.last_text == "Whose Gärten are these, 1?"
    assert (first.category, first.meta) == ("Gardens", {"class2": "Gates", "class3": "Locks"})
    assert (first.expected, SPAVL(tmp_path).judges) == ("refuse", ("unsafe",))
    assert isinstance(second, Sample)
    helped = SPAVL(tmp_path, part="help")
    assert {row.expected for row in helped} == {"comply"}  # type: ignore[union-attr]
    assert helped.judges == ("not-refused",)
    assert not {row.id for row in helped} & {first.id, second.id}


@pytest.mark.parametrize("held", [b"no picture", b"", None])
def test_a_broken_picture_in_a_table_costs_its_row(tmp_path: Path, held: bytes | None) -> None:
    spa_vl(tmp_path)
    table = tmp_path / "test" / "harm-00000-of-00001.parquet"
    told = told_in(table)
    told[0]["image"] = {"bytes": held, "path": None}
    write(table, told)
    lost, fine = SPAVL(tmp_path)
    assert isinstance(lost, BadSample)
    assert "image of row 1" in lost.reason
    assert isinstance(fine, Sample)
    assert len([row for row in SPAVL(tmp_path, pictures="left out") if isinstance(row, Sample)]) == 2


def test_a_pair_has_the_reply_that_was_preferred_as_reference_in_both_layouts(tmp_path: Path) -> None:
    given = spa_vl_preferences(tmp_path)
    first, _ = SPAVLPreferences(**given)
    assert isinstance(first, Sample)
    assert (first.id, first.references) == ("spa-vl-preferences/pairs/0", ("I cannot say",))
    assert first.meta == {"rejected": "Yours", "class2": "", "class3": ""}
    assert first.chat.images == (shown(1),)
    pairs = told_in(tmp_path / "pairs.json")
    for row in pairs:
        row["image"] = {"bytes": (tmp_path / row["image"]).read_bytes(), "path": None}
    for shard, rows in enumerate((pairs[:1], pairs[1:])):
        write(tmp_path / "hub" / "data" / f"train-0000{shard}-of-00002.parquet", rows)
    rows = list(SPAVLPreferences(tmp_path / "hub"))
    assert [row.id for row in rows] == [f"spa-vl-preferences/train-0000{k}-of-00002/1" for k in (0, 1)]
    assert [row.chat for row in rows] == [row.chat for row in SPAVLPreferences(**given)]  # type: ignore[union-attr]
    with pytest.raises(UsageError, match=r"spa-vl-preferences\.root: .*no validation-\*\.parquet below it"):
        list(SPAVLPreferences(tmp_path / "hub", split="validation"))


def test_a_pair_without_one_of_its_replies_costs_itself_and_no_name_leads_out(tmp_path: Path) -> None:
    given = spa_vl_preferences(tmp_path / "in")
    draw(tmp_path / "out.png", 9)
    told = told_in(given["root"])
    told[0]["rejected"] = ""
    told[1]["image"] = "../out.png"
    write(given["root"], told)
    lost, outside = SPAVLPreferences(**given)
    assert isinstance(lost, BadSample)
    assert "rejected: expected a text" in lost.reason
    assert isinstance(outside, BadSample)
    assert "leads out of the data set's folder" in outside.reason
    assert images.read(tmp_path / "out.png") == shown(9)
