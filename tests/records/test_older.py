"""A run folder of schema version 2 (`version2`, made by the Proofglass of that time): read, never written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from proofglass import api
from proofglass.errors import StoreError
from proofglass.records.schema import attempt_key, record_schema, score_schema
from proofglass.records.store import Store
from records.test_store import manifest

MADE = Path(__file__).parent / "version2"


@pytest.fixture
def old(tmp_path: Path) -> Store:
    return Store(shutil.copytree(MADE, tmp_path / "run"))


def test_its_records_have_the_columns_of_today_and_null_where_they_knew_nothing(old: Store) -> None:
    frame = old.frame()
    assert dict(frame.schema) == record_schema()
    assert frame.height == 2 * 4
    assert set(frame["schema_version"]) == {2}
    unknown = ("reasoning", "crafting", "helpers", "fault", "group", "target", "references", "source", "meta", "asked")
    unknown += ("choices",)
    assert [name for name in frame.columns if frame[name].null_count() == frame.height] == [
        *(name for name in frame.columns if name in unknown)
    ]
    first = frame.row(0, named=True)
    assert first["attempt"] == attempt_key(first["conversation"], first["reply"], first["outcome"])
    assert old.scan().select("attempt", "reply").collect()["attempt"].to_list() == frame["attempt"].to_list()
    assert old.samples().is_empty()


def test_its_scores_and_statuses_are_read(old: Store) -> None:
    scores = old.scores()
    assert dict(scores.schema) == score_schema()
    assert scores.height == 2 * 2 * 4
    assert set(scores["attempt"]) == set(old.frame()["attempt"])
    assert scores["rater"].null_count() == scores.height
    assert [cell["status"] for cell in old.cells()] == ["done", "done"]
    cell, key = old.cells()[0]["cell"], old.manifest()["plugs"]["judges"]["long"]["key"]
    assert set(old.scores_of(cell, key)) == {"first0", "first1", "first2", "first3"}


def test_its_labels_are_about_the_same_replies(old: Store) -> None:
    labels = old.labels("long")
    assert labels is not None
    told = json.loads((MADE / "labels" / "long.json").read_bytes())
    assert len(labels.given) == len(told["given"]) == 8
    frame = old.frame()
    for cell in old.cells():
        rows = frame.filter(cell=cell["cell"])
        place = (cell["victim"], cell["attack"], cell["defense"], cell["dataset"])
        by_row = {tuple(drawn): told["given"][row] for row, drawn in told["drawn"].items()}
        found = labels.of(place, dict(rows.select("sample_id", "attempt").iter_rows()))
        assert found == {sample: by_row[cell["cell"], sample] for sample in rows["sample_id"]}


def test_it_is_reported(old: Store) -> None:
    page = api.Run(old.path).report().read_text()
    assert "speck" in page
    assert len(api.Run(old.path).rates()) == 4


def test_nothing_is_written_into_it_and_the_error_says_what_to_do(old: Store) -> None:
    before = {path: path.read_bytes() for path in old.path.rglob("*") if path.is_file()}
    opened = (old.locked, lambda: Store.create(old.path, manifest("older")))
    for each in opened:
        with pytest.raises(StoreError, match=r"schema version 2, which can be reported.*--out.*began it \(0\."), each():
            pass
    with pytest.raises(StoreError, match="kept no samples"):
        old.attempts()
    after = {path: path.read_bytes() for path in old.path.rglob("*") if path.is_file() and path.name != "lock"}
    assert after == before
