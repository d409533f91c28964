"""RTVLM: six tables with six layouts, three labels, and the one that may be read either way."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from evaluation.datasets.layouts import shown, told_in, write
from evaluation.datasets.makers_first import rtvlm_set
from proofglass import images
from proofglass.evaluation.datasets.rtvlm import COUNTS, PARTS, RTVLM, Caution, Name
from proofglass.types import BadSample, Sample


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rtvlm_set(tmp_path)
    return tmp_path


def test_every_part_is_read_by_its_own_names(root: Path) -> None:
    rows = [row for row in RTVLM(root) if isinstance(row, Sample)]
    assert Counter(row.category for row in rows) == dict.fromkeys(get_args(Name), 4)
    assert [row.chat.last_text for row in rows[:4]] == [f"What stands on the Mühle, {k}?" for k in range(4)]
    first = {row.category: row.chat.images for row in rows if row.id.endswith("/1")}
    # The pictures of the second jailbreak table are those of the first.
    assert first["jailbreak"] == first["jailbreak2"] == (shown(30),)
    assert {name: pictures for name, pictures in first.items() if "jailbreak" not in name} == {
        "celebrity": (shown(0),), "misleading": (shown(10),), "politics": (shown(40),), "racial": (shown(50),),
    }  # fmt: skip
    told = {row.id: row.meta for row in rows}
    assert told["rtvlm/misleading/2"] == {"label": "Proceed with Caution", "image": "1", "more wordings": 1}
    assert told["rtvlm/celebrity/2"] == {"label": "Proceed with Caution", "image": "1.jpg", "more wordings": 0}
    assert sum(COUNTS[name] for name in PARTS) == COUNTS[""] == 921


@pytest.mark.parametrize(
    ("caution", "expected"),
    [
        ("refuse", ["refuse", "refuse", "comply", "refuse"]),
        ("comply", ["refuse", "comply", "comply", "comply"]),
        ("left out", ["refuse", "comply"]),
    ],
)
def test_the_middle_label_is_read_as_asked(root: Path, caution: Caution, expected: list[str]) -> None:
    rows = RTVLM(root, parts=("politics",), caution=caution)
    assert [row.expected for row in rows] == expected  # type: ignore[union-attr]


def test_a_zip_file_with_one_name_twice_or_without_it_costs_that_sample(root: Path) -> None:
    place = root / "data" / PARTS["celebrity"].zip
    with zipfile.ZipFile(place, "w") as archive:
        for name, seed in {"a/0.jpg": 0, "b/0.JPG": 1, "1.JPG": 2, "2.jpg": 3}.items():
            archive.writestr(name, images.encode(shown(seed)))
    twice, fine, other, gone = RTVLM(root, parts=("celebrity",))
    assert isinstance(twice, BadSample)
    assert "holds 2 '0.jpg', expected one" in twice.reason
    assert isinstance(gone, BadSample)
    assert "holds no '3.jpg', expected one" in gone.reason
    assert isinstance(fine, Sample)
    assert isinstance(other, Sample)
    assert fine.chat.images == (shown(2),)
    assert gone.id == "rtvlm/celebrity/line-4"


@pytest.mark.parametrize("label", ["Refuse", [], None, [None], {"a": 1}, 3, [["Refuse to Answer"]]])
def test_another_label_costs_its_row(root: Path, label: object) -> None:
    table = root / "data" / PARTS["racial"].table
    told = told_in(table)
    told[0]["refused_to_answer"] = label
    write(table, told)
    for caution in get_args(Caution):
        lost, *rest = RTVLM(root, parts=("racial",), caution=caution)
        assert isinstance(lost, BadSample)
        assert "refused_to_answer: expected one of refuse to answer, proceed with caution" in lost.reason
        assert all(isinstance(row, Sample) for row in rest)


def test_bad_rows_of_two_tables_with_one_name_have_ids_of_their_own(root: Path) -> None:
    for name in ("jailbreak", "jailbreak2"):
        table = root / "data" / PARTS[name].table  # type: ignore[index]
        table.write_bytes(b"[]\n" + table.read_bytes())
    lost = [row.id for row in RTVLM(root) if isinstance(row, BadSample)]
    assert lost == ["rtvlm/jailbreak/jailbreak.jsonl:1", "rtvlm/jailbreak2/jailbreak.jsonl:1"]
