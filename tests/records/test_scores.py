"""Scores that are added later: by attempt, of several raters, and what the metrics make of them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from proofglass.errors import StoreError, UsageError
from proofglass.records.labels import Labels
from proofglass.records.schema import chat_to_json
from proofglass.records.scores import agreed
from proofglass.records.store import Store
from proofglass.types import Chat, Score
from records.test_store import DONE, manifest, record


def talk(cell: str, sample: str, reply: str) -> object:
    return record(cell, sample, reply=reply, conversation=chat_to_json(Chat.user(f"{sample}?")))


def made(folder: Path) -> Store:
    """Two cells of two samples; the first sample got the same reply in both."""
    with Store.create(folder, manifest()) as store:
        for cell in ("c1", "c2"):
            store.put_scores(cell, "jk", {"s0": Score("j", 1.0), "s1": Score("j", 0.0)})
            store.seal(cell, [talk(cell, "s0", "same"), talk(cell, "s1", f"in {cell}")], {**DONE, "success": "jk"})
    return Store(folder)


def test_a_score_is_about_an_attempt_wherever_it_stands(tmp_path: Path) -> None:
    store = made(tmp_path)
    same, in_c1 = store.frame("c1")["attempt"]
    assert store.frame("c2")["attempt"][0] == same
    with store.locked():
        told = {
            same: Score("x", 0.0, "harmless", time="2026-01-01T00:00:00+00:00"),
            in_c1: Score("x", 1.0),
            "none": Score("x", 1.0),
        }
        assert store.add_scores("people", told, {"column": "harmful", "aspect": "unsafe"}) == 2
    store = Store(tmp_path)
    assert store.manifest()["judges"] == ["j", "people"]
    assert store.manifest()["plugs"]["judges"]["people"]["column"] == "harmful"
    mine = store.scores().filter(judge="people").select("cell", "sample_id", "value", "label", "attempt")
    assert sorted(mine.rows()) == [
        ("c1", "s0", 0.0, "harmless", same),
        ("c1", "s1", 1.0, "", in_c1),
        ("c2", "s0", 0.0, "harmless", same),
    ]
    assert set(store.scores().filter(judge="people")["time"].str.len_chars()) == {25}
    key = store.manifest()["plugs"]["judges"]["people"]["key"]
    assert {name: score.value for name, score in store.scores_of("c1", key).items()} == {"s0": 0.0, "s1": 1.0}


def test_it_survives_a_rerun_as_long_as_the_reply_is_the_same(tmp_path: Path) -> None:
    store = made(tmp_path)
    same, in_c1 = store.frame("c1")["attempt"]
    with store.locked():
        store.add_scores("people", {same: Score("x", 1.0), in_c1: Score("x", 1.0)})
    with Store.create(tmp_path, manifest(cells=("c9",))) as store:  # another key of the same cell
        store.seal("c9", [talk("c9", "s0", "same"), talk("c9", "s1", "another")], DONE)
        mine = store.scores().filter(judge="people")
    assert mine.select("cell", "sample_id", "value").rows() == [("c9", "s0", 1.0)]


def test_raters_stand_side_by_side_each_with_the_last_word(tmp_path: Path) -> None:
    store = made(tmp_path)
    (_, key) = store.frame("c1")["attempt"]
    with store.locked():
        for rater, value in (("anna", 0.0), ("ben", 1.0), ("anna", 1.0), ("cleo", 0.0)):
            store.add_scores("people", {key: Score("x", value, rater=rater, source="sheet")})
        store.add_scores("people", {key: Score("x", None, reason="unreadable", rater="dora", source="sheet")})
    said = Store(tmp_path).scores().filter(judge="people")
    assert sorted(said.select("rater", "value").rows()) == [("anna", 1.0), ("ben", 1.0), ("cleo", 0.0), ("dora", None)]
    (row,) = agreed(said).to_dicts()
    assert row["value"] == pytest.approx(2 / 3)  # dora gave no value
    assert (row["rater"], row["source"], row["label"], row["reason"]) == ("", "sheet", "", "unreadable")


def test_one_rater_of_a_row_is_taken_as_it_stands() -> None:
    rows = {"cell": ["c", "c"], "sample_id": ["a", "b"], "judge": ["j", "j"], "value": [1.0, None]}
    table = pl.DataFrame({**rows, "label": ["yes", "unjudged"], "reason": ["", "empty"], "rater": ["", "anna"]})
    assert agreed(table).equals(table)


def test_nobody_gave_a_value_so_there_is_none() -> None:
    rows = {"cell": ["c", "c"], "sample_id": ["a", "a"], "judge": ["j", "j"], "value": [None, None]}
    table = pl.DataFrame(
        {**rows, "reason": ["cut", "cut"], "rater": ["anna", "ben"]}, schema_overrides={"value": float}
    )
    assert agreed(table).to_dicts() == [
        {"cell": "c", "sample_id": "a", "judge": "j", "value": None, "reason": "cut", "rater": ""}
    ]


def test_what_cannot_be_added_is_told(tmp_path: Path) -> None:
    store = made(tmp_path)
    (key, _) = store.frame("c1")["attempt"]
    with pytest.raises(StoreError, match="open for reading"):
        store.add_scores("people", {key: Score("x", 1.0)})
    with store.locked():
        with pytest.raises(UsageError, match="none of 1 attempts is in"):
            store.add_scores("people", {"unknown": Score("x", 1.0)})
        with pytest.raises(UsageError, match="j: scored this run itself: name a rater"):
            store.add_scores("j", {key: Score("x", 1.0)})
        with pytest.raises(UsageError, match="plain word"):
            store.add_scores("../j", {key: Score("x", 1.0)})
        store.add_scores("j", {key: Score("x", 0.0, rater="anna")})
    assert store.scores_of("c1", "jk")["s0"].value == 0.5  # the judge said 1, anna 0
    assert store.manifest()["judges"] == ["j"]


def test_verdicts_by_which_replies_were_drawn_outlive_their_judge(tmp_path: Path) -> None:
    # Judged anew under other settings: the label stays, its key is another. Labels are weighed by the first verdicts.
    made(tmp_path)
    now = manifest() | {"plugs": {"judges": {"j": {"name": "j", "key": "other"}}}}
    with Store.create(tmp_path, now) as store:
        store.put_labels(Labels("unsafe", "j", "jk"))
        for cell in ("c1", "c2"):
            store.put_scores(cell, "other", {"s0": Score("j", 0.0), "s1": Score("j", 0.0)})
            store.put_status(cell, {**DONE, "success": "other"})
        store.gc()
        said = store.scores_of("c1", "jk")
        assert {name: score.value for name, score in said.items()} == {"s0": 1.0, "s1": 0.0}
        assert set(store.scores()["value"]) == {0.0}  # they are no scores of this study
        with pytest.raises(StoreError, match="no such file"):
            store.scores_of("c1", "never")


def test_a_judge_may_not_take_the_name_of_scores_that_were_added(tmp_path: Path) -> None:
    # Added without a rater, they would stand in place of its own.
    store = made(tmp_path)
    with store.locked():
        store.add_scores("people", {store.frame("c1")["attempt"][0]: Score("x", 1.0)})
        with pytest.raises(StoreError, match="added to this run as 'people'; give the judge a `label:`"):
            store.put_judges({"people": {"name": "people", "key": "pk"}}, "people")
    with Store.create(tmp_path, manifest()) as store:
        assert store.manifest()["judges"] == ["j", "people"]
