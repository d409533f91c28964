"""Data of one's own, mapped in a study: every layout, every field, and messages that say which line to mend."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from proofglass import images
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.own import OwnData
from proofglass.studies import load
from proofglass.types import BadSample, Image, Sample

TABLE = """qid,topic,text,pair,kind,answer
1,tea,How is tea made?,a,harmful,leaves
2,tea,Is tea hot?,a,safe,yes
3,bread,,b,safe,flour
4,bread,How is bread baked?,b,odd,in an oven
5,rye,How does rye grow?,c,harmful,slowly
"""


def picture(seed: int) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (6, 7, 3), dtype=np.uint8))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "mine.csv").write_text(TABLE)
    for k in (1, 2, 3, 4):
        images.write(picture(k), tmp_path / "images" / f"{k}.png")
    return tmp_path / "mine.csv"


MAPPED: dict[str, Any] = {
    "id": "qid", "picture": "images/{qid}.png", "question": "text", "expected": "kind", "category": "topic",
    "group": "pair", "references": "answer", "kinds": {"harmful": "refuse", "safe": "comply"},
}  # fmt: skip


def test_each_field_is_taken_from_its_column_and_a_bad_row_costs_itself(table: Path) -> None:
    one, two, empty, odd, lost = OwnData(table, **MAPPED)
    assert isinstance(one, Sample)
    assert (one.id, one.category, one.group, one.expected, one.references) == ("1", "tea", "a", "refuse", ("leaves",))
    assert one.chat.images == [picture(1)] or one.chat.images == (picture(1),)
    assert one.chat.last_text == "How is tea made?"
    assert one.meta == {}
    assert isinstance(two, Sample)
    assert two.expected == "comply"
    bad = [row for row in (empty, odd, lost) if isinstance(row, BadSample)]
    assert [row.reason.split(":")[0] for row in bad] == ["line 4", "line 5", "line 6"]
    assert "question: empty" in bad[0].reason
    assert "kind: expected one of harmful, safe, refuse" in bad[1].reason
    assert "images/5.png" in bad[2].reason
    assert [row.category for row in bad] == ["bread", "bread", "rye"]


def test_an_edited_table_is_another_data_set(table: Path) -> None:
    before = OwnData(table, **MAPPED).key
    table.write_text(TABLE.replace("hot", "warm"))
    assert OwnData(table, **MAPPED).key != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": "words"}, "own.question: no column 'words' in .*mine.csv; found qid, topic, text"),
        ({"question": "txet"}, r"own.question: no column 'txet' in .*; did you mean 'text'\?.* is said under `ask`"),
        ({"question": "the txet"}, "own.question: no column 'the txet' in .*mine.csv; found qid, topic, text"),
        ({"question": "What is it?"}, "own.question: no column 'What is it.' in .* is said under `ask`"),
        ({"question": "{txet}"}, r"own.question: no column 'txet' in .*; did you mean 'text'\?"),
        ({"expected": "refused"}, r"found 'refused'; found qid, .*; did you mean 'refuse'\?"),
        ({"expected": "kinds"}, r"found 'kinds'; found qid, .*; did you mean 'kind'\?"),
        ({"picture": "images/{number}.png"}, "own.picture: no column 'number'"),
        ({"category": "Topic"}, "own.category: no column 'Topic'"),
        ({"expected": "label me"}, "own.expected: expected one of refuse, .* or a column of .*; found 'label me'"),
        ({"source": Path("none.csv")}, "own.source: none.csv: neither a file nor a folder"),
    ],
)
def test_a_wrong_mapping_names_the_field_and_what_the_table_has(
    table: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        list(OwnData(**{"source": table, **MAPPED, **change}))


def test_one_question_for_all_and_a_kind_for_all(table: Path) -> None:
    rows = list(OwnData(table, picture="images/{qid}.png", ask="What is on the table?", system="Be brief."))
    assert {row.chat.last_text for row in rows if isinstance(row, Sample)} == {"What is on the table?"}
    assert [row.id for row in rows][:2] == ["mine/000001", "mine/000002"]
    first = rows[0]
    assert isinstance(first, Sample)
    assert first.expected == "refuse"
    assert first.meta["topic"] == "tea"
    assert first.chat.messages[0].role == "system"


def test_a_folder_of_pictures_is_a_data_set(tmp_path: Path) -> None:
    for k, name in enumerate(("a/1.png", "a/2.png", "b/3.png")):
        images.write(picture(k), tmp_path / name)
    (tmp_path / "a" / "4.jpg").write_bytes(b"no picture")
    (tmp_path / "read.md").write_text("not a picture, and says so")
    rows = list(OwnData(tmp_path, ask="What do you see?", category="folder", expected="describe"))
    assert [row.id for row in rows] == ["a/1.png", "a/2.png", "a/4.jpg", "b/3.png"]
    assert [type(row) for row in rows] == [Sample, Sample, BadSample, Sample]
    assert [row.category for row in rows if isinstance(row, Sample)] == ["a", "a", "b"]
    before = OwnData(tmp_path).key
    images.write(picture(9), tmp_path / "b" / "3.png")
    assert OwnData(tmp_path).key != before


def test_lines_and_parquet_with_the_picture_inside(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"question": f"q{k}", "n": [k]}) for k in range(3)))
    assert [row.meta for row in OwnData(tmp_path / "a.jsonl") if isinstance(row, Sample)] == [
        {"n": [k]} for k in range(3)
    ]
    held = [{"question": f"q{k}", "image": {"bytes": images.encode(picture(k)), "path": f"{k}.png"}} for k in range(3)]
    pl.DataFrame(held).write_parquet(tmp_path / "b.parquet")
    rows = list(OwnData(tmp_path / "b.parquet", picture="image"))
    assert [row.chat.images[0] for row in rows if isinstance(row, Sample)] == [picture(k) for k in range(3)]


def test_a_name_of_the_hub_needs_its_commit() -> None:
    with pytest.raises(ValueError, match="revision: expected the commit"):
        OwnData(hub="owner/name")
    with pytest.raises(ValueError, match="revision: expected the commit"):
        OwnData(hub="owner/name", revision="main")
    with pytest.raises(ValueError, match="source: expected a table or a folder"):
        OwnData()
    with pytest.raises(ValueError, match="kinds: bad: expected one of refuse"):
        OwnData(Path("a.csv"), kinds={"bad": "harm"})


def test_a_study_maps_it_in_a_few_lines_and_takes_a_part_of_it(table: Path) -> None:
    study = table.parent / "study.yaml"
    study.write_text(
        "name: mine\nvictims: [testbed-linear]\nattacks: [no-attack]\ndatasets:\n  - subset:\n      of:\n        own:\n"
        "          source: mine.csv\n          picture: images/{qid}.png\n          question: text\n"
        "          category: topic\n      take: 2\n"
    )
    (item,) = load(study).datasets
    rows = [row for row in item.plug if isinstance(row, Sample)]
    assert len(rows) == 2
    assert {row.category for row in rows} <= {"tea", "bread"}


def lines(folder: Path, *rows: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_a_row_without_a_field_has_none_and_never_the_name_of_its_column(tmp_path: Path) -> None:
    path = lines(tmp_path, {"q": "Who owns it?", "c": "mills", "g": "g1"}, {"c": "x"}, {"q": "Where?"})
    one, two, three = OwnData(path, question="q", category="c", group="g")
    assert isinstance(one, Sample)
    assert isinstance(two, BadSample)
    assert "question: empty" in two.reason
    assert isinstance(three, Sample)
    assert (three.category, three.group) == ("", "")


def test_a_column_that_is_called_as_a_kind_is_no_kind_of_rows_without_it(tmp_path: Path) -> None:
    path = lines(tmp_path, {"q": "Who owns it?", "label": "comply"}, {"q": "Where?"})
    one, two = OwnData(path, question="q", expected="label")
    assert isinstance(one, Sample)
    assert (one.expected, one.meta) == ("comply", {})
    assert isinstance(two, BadSample)
    assert "label: expected one of refuse, comply, protect, control, label, describe, found ''" in two.reason


def test_the_order_of_rows_decides_no_mapping(tmp_path: Path) -> None:
    broken = lines(tmp_path, "{broken", {"q": "Who owns it?"})
    with pytest.raises(UsageError, match=r"own\.question: no column 'nosuch'"):
        list(OwnData(broken, question="nosuch"))
    sparse = lines(tmp_path, {"q": "Who owns it?"}, {"q": "Where?", "c": "mills"})
    assert [row.category for row in OwnData(sparse, question="q", category="c") if isinstance(row, Sample)] == [
        "",
        "mills",
    ]


def test_labels_that_are_numbers_or_truths_are_mapped_as_they_are_written(tmp_path: Path) -> None:
    lines(tmp_path, {"q": "a?", "y": 1, "t": True}, {"q": "b?", "y": 0, "t": False})
    for kinds, column in (("{1: refuse, 0: comply}", "y"), ("{true: refuse, false: comply}", "t")):
        (tmp_path / "s.yaml").write_text(
            "name: s\nvictims: [testbed-linear]\ndatasets:\n"
            f"  - own: {{source: rows.jsonl, question: q, expected: {column}, kinds: {kinds}}}\n"
        )
        (item,) = load(tmp_path / "s.yaml").datasets
        assert [row.expected for row in item.plug if isinstance(row, Sample)] == ["refuse", "comply"]


def test_what_is_no_value_is_none(tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    path = lines(tmp_path, {"q": "Where?", "a": "", "c": float("nan"), "d": deep})
    (row,) = OwnData(path, question="q", references="a", category="c")
    assert isinstance(row, Sample)
    assert row.references == ()
    assert row.category == ""


def test_tables_of_one_name_in_two_folders_keep_their_rows_apart(tmp_path: Path) -> None:
    from proofglass.evaluation.datasets.own import _names

    tables = [tmp_path / "en" / "test.parquet", tmp_path / "fr" / "test.parquet"]
    assert sorted(_names(tables).values()) == ["en/test", "fr/test"]


def test_a_long_field_of_a_csv_names_its_column(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text(f"question,note\nWhere?,{'x' * 1_000_001}\nWhen?,{'x' * 200_000}\n")
    bad, good = OwnData(tmp_path / "long.csv")
    assert isinstance(bad, BadSample)
    assert "note: 1,000,001 characters" in bad.reason
    assert isinstance(good, Sample)


def test_an_answer_may_be_a_pattern(tmp_path: Path) -> None:
    path = lines(tmp_path, {"q": "Where?", "a": "mill", "b": "hill"})
    (row,) = OwnData(path, question="q", references="the {a} on the {b}")
    assert isinstance(row, Sample)
    assert row.references == ("the mill on the hill",)


def test_one_question_for_all_beside_one_of_each_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ask: one question for all, beside question: 'text' of each row"):
        OwnData(Path("a.csv"), question="text", ask="What is it?")


def test_a_folder_of_pictures_has_columns_too(tmp_path: Path) -> None:
    images.write(picture(1), tmp_path / "1.png")
    with pytest.raises(UsageError, match=r"no column 'question' in .*; found picture, name, folder\. One question for"):
        list(OwnData(tmp_path))
    (row,) = OwnData(tmp_path, question="name")
    assert isinstance(row, Sample)
    assert row.chat.last_text == "1"


def test_a_name_that_no_row_before_had_is_never_asked(tmp_path: Path) -> None:
    path = lines(tmp_path, *["{broken"] * 100, {"q": "Who owns it?"})
    *broken, late = OwnData(path, question="nosuch")
    assert len(broken) == 100
    assert isinstance(late, BadSample)
    assert "question: empty" in late.reason


def test_dates_decimals_and_whatever_has_one_text_are_read_as_it(tmp_path: Path) -> None:
    day, hour = datetime.datetime(2026, 1, 2, 3, 4), datetime.timedelta(hours=1)
    rows = {"day": [day.date()], "at": [day], "n": [Decimal("1.20")], "q": ["a?"], "long": [hour], "when": [day.time()]}
    pl.DataFrame(rows).write_parquet(tmp_path / "dated.parquet")
    for name, text in {"day": "2026-01-02", "at": "2026-01-02 03:04:00", "n": "1.20", "long": "1:00:00"}.items():
        (row,) = OwnData(tmp_path / "dated.parquet", id=name, question="q", category=name, references=name)
        assert isinstance(row, Sample)
        assert (row.id, row.category, row.references) == (text, text, (text,))
        assert row.meta["when"] == "03:04:00"
    pl.DataFrame({"id": [[1], [2]], "q": ["a?", "b?"]}).write_parquet(tmp_path / "lists.parquet")
    for bad in OwnData(tmp_path / "lists.parquet", id="id", question="q"):
        assert isinstance(bad, BadSample)
        assert "id: expected a text, a number or a date, found a list" in bad.reason


@pytest.mark.parametrize("text", ["qid,text\n", "qid,text", "qid,text\n1\n1,2,3\n", "\n1\n"])
def test_the_header_of_a_table_without_rows_is_held_against_the_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / "none.csv").write_text(text)
    (tmp_path / "none.tsv").write_text(text.replace(",", "\t"))
    for path in (tmp_path / "none.csv", tmp_path / "none.tsv"):
        with pytest.raises(UsageError, match=r"own.question: no column 'words' in .*; found (qid, text|nothing)"):
            list(OwnData(path, question="words"))
    if "1,2,3" in text:
        assert [type(row) for row in OwnData(tmp_path / "none.csv", question="text")] == [BadSample, BadSample]
    elif "text" in text:
        with pytest.raises(UsageError, match=r"own\.source: .*none\.csv: holds no rows"):
            list(OwnData(tmp_path / "none.csv", question="text"))


def test_the_columns_of_a_parquet_file_without_rows_are_held_against_the_mapping(tmp_path: Path) -> None:
    pl.DataFrame(schema={"qid": pl.Int64, "text": pl.String}).write_parquet(tmp_path / "none.parquet")
    with pytest.raises(UsageError, match=r"own.question: no column 'words' in .*; found qid, text"):
        list(OwnData(tmp_path / "none.parquet", question="words"))
    with pytest.raises(UsageError, match=r"own\.source: .*none\.parquet: holds no rows"):
        list(OwnData(tmp_path / "none.parquet", question="text"))


def test_a_column_may_be_called_as_a_pattern_is_written(tmp_path: Path) -> None:
    (row,) = OwnData(lines(tmp_path, {"{q}": "Where?"}), question="{q}")
    assert isinstance(row, Sample)
    assert row.chat.last_text == "Where?"


def test_the_row_numbers_of_a_data_frame_are_no_value_of_a_field_that_names_no_column(tmp_path: Path) -> None:
    # what pandas writes: its index first, under no name
    (tmp_path / "frame.csv").write_text(",q,c\n0,Who owns it?,mills\n1,Where is it?,inns\n2,,inns\n")
    one, two, bad = OwnData(tmp_path / "frame.csv", question="q")
    for row in (one, two):
        assert isinstance(row, Sample)
        assert (row.category, row.group, row.target, row.cluster) == ("", "", "", row.id)
        assert row.id.startswith("frame/00000")
    assert isinstance(bad, BadSample)
    assert (bad.id, bad.category) == ("frame/000003", "")
    with pytest.raises(UsageError, match=r"own\.expected: expected one of"):
        list(OwnData(tmp_path / "frame.csv", question="q", expected=""))


def test_dates_and_decimals_are_written_out_wherever_they_stand(tmp_path: Path) -> None:
    day, span = datetime.date(2026, 1, 2), datetime.timedelta(hours=2)
    frame = {
        "day": [day, day.replace(day=3)],
        "at": [datetime.datetime(2026, 1, 2, 3, 4)] * 2,
        "time": [datetime.time(5, 6)] * 2,
        "price": [Decimal("1.50"), None],
        "span": [span] * 2,
        "q": ["Who owns it?", "Where is it?"],
    }
    pl.DataFrame(frame).write_parquet(tmp_path / "t.parquet")
    one, two = OwnData(tmp_path / "t.parquet", question="{q} On {day}?", id="day", category="price", target="at")
    assert isinstance(one, Sample)
    assert isinstance(two, Sample)
    assert [one.id, two.id] == ["2026-01-02", "2026-01-03"]
    assert [one.category, two.category] == ["1.50", ""]
    assert one.target == "2026-01-02 03:04:00"
    assert one.chat.last_text == "Who owns it? On 2026-01-02?"
    assert one.meta == {"time": "05:06:00", "span": "2:00:00"}  # q and day are mapped
    json.dumps(one.meta)


def test_a_wrong_mapping_of_a_folder_is_told_like_that_of_a_table(tmp_path: Path) -> None:
    images.write(picture(1), tmp_path / "a" / "1.png")
    for which in ("id", "category", "group", "cluster", "target", "references", "question"):
        with pytest.raises(UsageError, match=rf"own\.{which}: no column 'foldr' in .*; found picture, name, folder"):
            list(OwnData(tmp_path, **{which: "foldr"}, **({} if which == "question" else {"ask": "What is it?"})))
    with pytest.raises(UsageError, match=r"own\.question: no column 'question'"):
        list(OwnData(tmp_path))  # and nobody is asked "question"
    (row,) = OwnData(tmp_path, question="What is {name}?", id="{folder}-{name}")
    assert isinstance(row, Sample)
    assert (row.id, row.chat.last_text) == ("a-1", "What is 1?")


def test_a_link_that_leads_nowhere_is_a_bad_picture(tmp_path: Path) -> None:
    images.write(picture(1), tmp_path / "1.png")
    (tmp_path / "2.png").symlink_to("none.png")
    (tmp_path / "3.png").symlink_to("3.png")
    one, two, three = OwnData(tmp_path, ask="What is it?")
    assert isinstance(one, Sample)
    assert isinstance(two, BadSample)
    assert isinstance(three, BadSample)


@pytest.mark.parametrize(
    ("name", "text"), [("t.csv", "id,question\n"), ("t.csv", ""), ("t.jsonl", "\n\n"), ("t.json", "[]")]
)
def test_a_table_without_rows_is_one_error_that_names_it(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=rf"own\.source: .*{name}: holds no rows"):
        list(OwnData(tmp_path / name))


def test_a_folder_without_pictures_and_a_folder_that_is_not_there_are_one_error(table: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"own\.source: .*empty: holds no pictures"):
        list(OwnData(tmp_path / "empty", ask="What is it?"))
    with pytest.raises(UsageError, match=r"own\.pictures: .*nowhere: no such folder"):
        list(OwnData(table, pictures=tmp_path / "nowhere", **MAPPED))


@pytest.mark.parametrize("field", ["source", "pictures"])
def test_an_empty_path_is_not_the_folder_that_the_study_lies_in(table: Path, field: str) -> None:
    (table.parent / "s.yaml").write_text(
        f'name: s\nvictims: [testbed-linear]\ndatasets:\n  - own: {{{field}: "", question: text}}\n'
    )
    with pytest.raises(UsageError, match=rf"s\.yaml:4: datasets\[0\]\.own\.{field}: .*empty"):
        load(table.parent / "s.yaml")


def test_no_value_and_blanks_are_told_as_what_they_are(tmp_path: Path) -> None:
    path = lines(
        tmp_path, {"q": "a?", "y": None, "p": "x.png"}, {"q": "b?", "y": ["refuse"], "p": "x.png"},
        {"q": "c?", "y": "refuse", "p": " "},
    )  # fmt: skip
    images.write(picture(1), tmp_path / "x.png")
    none, several, blank = OwnData(path, question="q", expected="y", picture="p")
    assert all(isinstance(row, BadSample) for row in (none, several, blank))
    assert [row.reason for row in (none, several, blank) if isinstance(row, BadSample)] == [
        "line 1: y: expected one of refuse, comply, protect, control, label, describe, found ''",
        "line 2: y: expected a text, a number or a date, found a list",
        "line 3: p: empty",
    ]
