"""Tables in every layout: the same rows from each, a bad row at its own cost, nothing that crashes."""

from __future__ import annotations

import gzip
import json
import lzma
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.errors import UsageError
from proofglass.evaluation.datasets.reading import MAX_FIELD
from proofglass.evaluation.datasets.tables import Row, rows_of
from proofglass.types import BadSample

ROWS = [{"id": "a", "question": "Where is the mill?"}, {"id": "b", "question": "Wo ist die Mühle? 水车"}]


def csv(delimiter: str = ",", end: str = "\n") -> bytes:
    lines = [list(ROWS[0]), *(list(row.values()) for row in ROWS)]
    return end.join(delimiter.join(line) for line in lines).encode()


def written(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


LAYOUTS = {
    "rows.csv": csv(),
    "crlf.csv": csv(end="\r\n"),
    "marked.csv": b"\xef\xbb\xbf" + csv(),
    "rows.tsv": csv("\t"),
    "rows.json": json.dumps(ROWS).encode(),
    "rows.jsonl": "\n".join(json.dumps(row) for row in ROWS).encode(),
    "marked.jsonl": b"\xef\xbb\xbf" + "\r\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode(),
    "rows.jsonl.gz": gzip.compress("\n".join(json.dumps(row) for row in ROWS).encode()),
    "rows.JSONL.XZ": lzma.compress("\n".join(json.dumps(row) for row in ROWS).encode()),
    "v1.0.rows.jsonl": "\n".join(json.dumps(row) for row in ROWS).encode(),
    "ROWS.JSONL": "\n\n".join(json.dumps(row) for row in ROWS).encode(),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    rows = list(rows_of(written(tmp_path, name, LAYOUTS[name]), ("id", "question")))
    assert [dict(row.values) for row in rows if isinstance(row, Row)] == ROWS
    assert len(rows) == 2


def test_parquet_and_an_object_of_objects_too(tmp_path: Path) -> None:
    pl.DataFrame(ROWS).write_parquet(tmp_path / "rows.parquet")
    assert [dict(row.values) for row in rows_of(tmp_path / "rows.parquet", ("id",))] == ROWS  # type: ignore[union-attr]
    keyed = {row["id"]: {"question": row["question"]} for row in ROWS}
    path = written(tmp_path, "keyed.json", json.dumps(keyed).encode())
    found = [row.values for row in rows_of(path, ("question",), key="id") if isinstance(row, Row)]
    assert [dict(sorted(values.items())) for values in found] == ROWS


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.jsonl", b'{"id": 1}\n[2]\n', "line 2: expected an object, found a list"),
        ("a.jsonl", b'{"id": 1}\n{"id": \n', "line 2: expected JSON"),
        ("a.jsonl", b'{"id": 1}\n{"id": "\xb5"}\n', "line 2: expected UTF-8, found another encoding at byte 8"),
        ("a.jsonl", b'{"id": 1}\n' + b"[" * 200_000 + b"\n", "line 2: expected JSON"),
        ("a.jsonl", b'{"id": 1}\n{"name": 2}\n', "line 2: no id; found name"),
        ("a.json", b'[{"id": 1}, 5]', "entry 1: expected an object, found a int"),
        ("a.csv", b"id,x\n1,2\n3\n", "line 3: expected 2 fields, found 1"),
        ("a.jsonl", b'{"id": 1}\n{"id": "' + b"x" * (MAX_FIELD + 1) + b'"}', "line 2: id: 1,000,001 characters"),
    ],
)
def test_a_bad_row_costs_itself_and_names_its_place(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    good, bad = rows_of(written(tmp_path, name, data), ("id",), dataset="mine")
    assert isinstance(good, Row)
    assert isinstance(bad, BadSample)
    assert bad.reason.startswith(reason)
    assert bad.dataset == "mine"


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.csv", "id,问题\n".encode("gbk"), "expected UTF-8, found another encoding"),
        ("a.csv", b"name\nx\n", "no column 'id'"),
        ("a.json", b'{"id": 1}', "expected a list of objects, found an object"),
        ("a.json", b"[", "expected JSON"),
        ("a.json", b"[" * 100_000, "expected JSON"),
        ("a.parquet", b"PAR1 not really", "no Parquet file that can be read"),
        ("a.xml", b"<id/>", r"expected a table that ends in \.csv"),
    ],
)
def test_what_is_no_table_is_one_error_that_names_the_file(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    path = written(tmp_path, name, data)
    with pytest.raises(UsageError, match=reason) as error:
        list(rows_of(path, ("id",)))
    assert str(path) in str(error.value)
    with pytest.raises(UsageError, match="no such file"):
        list(rows_of(tmp_path / "none.csv"))


@settings(max_examples=300, deadline=None)
@given(
    data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
    suffix=st.sampled_from(["csv", "jsonl", "json"]),
)
def test_whatever_the_bytes_it_is_rows_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    path = written(tmp_path_factory.mktemp("fuzz"), f"t.{suffix}", data)
    with suppress(UsageError):
        for row in rows_of(path, key="id"):
            assert isinstance(row, (Row, BadSample))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_quote_that_nothing_closes_costs_its_line_and_no_row_below_it(tmp_path: Path, end: str) -> None:
    lines = ["id,question", '1,"Where is', "2,What?", '3,"Who, and', 'when?"', '4,Is "it" open?', '5,"Why?', "6,How?"]
    found = list(rows_of(written(tmp_path, "rows.csv", end.join(lines).encode())))
    bad = [row for row in found if isinstance(row, BadSample)]
    # line 2 closes at the quote of line 4, with a W behind it; line 7 never does
    assert [(row.id, row.reason.partition(":")[0]) for row in bad] == [
        ("rows.csv:2", "line 2"),
        ("rows.csv:7", "line 7"),
    ]
    assert "runs on to line 4: the lines below it are read anew" in bad[0].reason
    good = {row.place: row.values["question"] for row in found if isinstance(row, Row)}
    assert good == {
        "line 3": "What?", "line 4": f"Who, and{end}when?", "line 6": 'Is "it" open?', "line 8": "How?"
    }  # fmt: skip


def test_a_table_of_quotes_is_read_in_the_time_of_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proofglass.evaluation.datasets.reading.AGAIN", 500)
    # each of these lines opens a quote that runs to the end: a second look at all of them would take n * n lines
    data = b"id,question\n" + b'1,b","""\n' * 100
    found = list(rows_of(written(tmp_path, "rows.csv", data)))
    assert all(isinstance(row, BadSample) for row in found)
    assert 1 < len(found) < 10


def test_what_is_not_a_number_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": NaN, "b": ["x", NaN], "c": 1.5}\n')
    (row,) = rows_of(tmp_path / "rows.jsonl")
    assert isinstance(row, Row)
    assert row.text("a", empty=True) == ""
    assert row.text("c") == "1.5"
    with pytest.raises(ValueError, match="a: expected a text, found None"):
        row.text("a")
    for name in ("a", "b"):
        with pytest.raises(ValueError, match=f"{name}: expected a list of texts"):
            row.texts(name)
