"""BeaverTails: labels of pairs, several at once, in packed files."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.datasets.makers_second import beavertails, packed
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.beavertails import CATEGORIES, BeaverTails
from proofglass.types import BadSample, Sample


def test_there_are_14_categories_and_some_hold_commas() -> None:
    assert len(CATEGORIES) == 14
    assert "violence,aiding_and_abetting,incitement" in CATEGORIES
    assert sum("," in name for name in CATEGORIES) == 9


def test_a_prompt_is_asked_once_with_the_categories_of_all_its_unsafe_replies(tmp_path: Path) -> None:
    beavertails(tmp_path)
    first, last = BeaverTails(tmp_path)
    assert (first.id, last.id) == ("beavertails/30k_test/000001", "beavertails/30k_test/000005")
    assert first.chat.last_text == "How do I get in? 进"
    assert first.meta == {
        "categories": ["financial_crime,property_crime,theft", "privacy_violation", "self_harm"],
    }
    assert first.category == "financial_crime,property_crime,theft"
    assert (last.category, last.expected) == ("privacy_violation", "refuse")


def test_pairs_keep_their_own_reply_and_labels_and_share_a_cluster(tmp_path: Path) -> None:
    beavertails(tmp_path)
    rows = list(BeaverTails(tmp_path, each="pair"))
    assert [row.meta["categories"] for row in rows] == [
        ["self_harm"], ["financial_crime,property_crime,theft", "privacy_violation"], ["privacy_violation"],
    ]  # fmt: skip
    assert [row.meta["reply"] for row in rows] == ["Over the wall.", "Through the drain.", "The miller."]
    assert rows[0].cluster == rows[1].cluster != rows[2].cluster


def test_rows_whose_reply_is_safe_come_only_if_they_are_asked_for(tmp_path: Path) -> None:
    beavertails(tmp_path)
    assert len(list(BeaverTails(tmp_path, each="pair", safe_too=True))) == 5
    prompts = list(BeaverTails(tmp_path, safe_too=True))
    assert [row.chat.last_text for row in prompts] == ["How do I get in? 进", "What is tea?", "Who has a key?"]
    assert (prompts[1].category, prompts[1].meta["categories"]) == ("", [])


@pytest.mark.parametrize("name", ["330k/train.jsonl.xz", "330k/test.jsonl", "30k/train.jsonl.gz", "30k/train.parquet"])
def test_every_split_is_found_packed_or_not(tmp_path: Path, name: str) -> None:
    made = beavertails(tmp_path)
    path = tmp_path / "round0" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(packed(path, made.rows))
    split = name.split(".")[0].replace("/", "_")
    found = [row.chat for row in BeaverTails(tmp_path, split=split)]
    assert found == [row.chat for row in BeaverTails(tmp_path)]
    assert [row.chat for row in BeaverTails(path)] == found
    assert [row.chat for row in BeaverTails(tmp_path / "round0", split=split)] == found


@pytest.mark.parametrize("cut", [10, 60, -5])
def test_a_packed_file_that_was_cut_off_is_a_usage_error(tmp_path: Path, cut: int) -> None:
    made = beavertails(tmp_path)
    for name in ("a.jsonl.gz", "a.jsonl.xz"):
        (tmp_path / name).write_bytes(packed(Path(name), made.rows)[:cut])
        with pytest.raises(UsageError, match=rf"{name}: cannot be read"):
            list(BeaverTails(tmp_path / name))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("category", {"self harm": True}, "category: expected the 14 of BeaverTails, found 'self harm'"),
        ("category", {"self_harm": 1}, "category: expected an object of true and false"),
        ("category", "self_harm", "category: expected an object of true and false, found 'self_harm'"),
        ("is_safe", "no", "is_safe: expected true or false, found 'no'"),
        ("prompt", None, "prompt: expected a text, found None"),
    ],
)
@pytest.mark.parametrize("each", ["prompt", "pair"])
def test_a_row_with_another_label_costs_itself(
    tmp_path: Path, each: str, field: str, value: object, reason: str
) -> None:
    made = beavertails(tmp_path)
    made.write([{**made.rows[0], field: value}, made.rows[4]])
    bad, fine = BeaverTails(tmp_path, each=each)
    assert isinstance(bad, BadSample)
    assert reason in bad.reason
    assert isinstance(fine, Sample)
