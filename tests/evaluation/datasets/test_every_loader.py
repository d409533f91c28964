"""What every loader of files holds to, each on its official layout in miniature (`makers_*.py`).

A loader that is registered and has no maker fails here: write one, and it is held to all of this.
"""

from __future__ import annotations

import dataclasses
import importlib
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from evaluation.datasets.layouts import (
    Maker,
    as_webp,
    pictures_below,
    places,
    put,
    rows_in,
    shown,
    tables_of,
    told_in,
    write,
)  # fmt: skip
from proofglass import images, registry
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.reading import MAX_FIELD
from proofglass.interfaces import Dataset, Source
from proofglass.studies import rows as study_rows
from proofglass.testing import checks, on_disk
from proofglass.types import BadSample, Sample

HERE = Path(__file__).parent
MAKERS: dict[str, Maker] = {}
for found in sorted(HERE.glob("makers_*.py")):
    MAKERS |= importlib.import_module(f"evaluation.datasets.{found.stem}").MAKERS

NO_TABLE = ("subset", "shown", "targeted", "tovilag")  # of another data set; of folders
INSIDE = ("spa-vl",)  # the pictures lie in the table
NO_PICTURES = ("xstest", "safetybench", "beavertails", "subset", *INSIDE)
WITH_TABLES = [name for name in MAKERS if name not in NO_TABLE]
every = pytest.mark.parametrize("name", MAKERS)
with_tables = pytest.mark.parametrize("name", WITH_TABLES)


class Made:
    """A miniature on the disk. build: the loader on it, with other arguments."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.arguments = MAKERS[name](folder)

    def build(self, **more: Any) -> Dataset:
        data: Dataset = registry.build("datasets", self.name, **{**self.arguments, **more})
        return data

    def rows(self) -> list[Sample | BadSample]:
        return list(self.build())

    def pictures(self) -> list[Path]:
        """The picture files that its samples show."""
        return [path for path in pictures_below(self.folder) if self._is_shown(path)]

    def _is_shown(self, path: Path) -> bool:
        sha256 = images.read(path).sha256
        return any(
            image.sha256 == sha256 for row in self.rows() if isinstance(row, Sample) for image in row.chat.images
        )


@pytest.fixture
def made(name: str, tmp_path: Path) -> Made:
    return Made(name, tmp_path / "mini")


def good(rows: list[Sample | BadSample]) -> list[Sample]:
    return [row for row in rows if isinstance(row, Sample)]


def bad(rows: list[Sample | BadSample]) -> list[BadSample]:
    return [row for row in rows if isinstance(row, BadSample)]


def looked_at(data: Dataset) -> list[Sample | BadSample] | str:
    """Its rows, as a study reads them, or the one error instead."""
    try:
        return list(study_rows.read(data, data.name, "study.yaml:1", None, 7))
    except UsageError as error:
        return str(error)


def test_every_registered_loader_of_files_has_a_maker() -> None:
    ours = {name for name, entry in registry.entries("datasets").items() if entry.target.startswith("proofglass.")}
    assert ours - set(MAKERS) == {"testbed", "testbed-feedback", "fictional-screens"}  # made by a program


@every
def test_the_miniature_is_whole_and_its_ids_are_unique_and_streaming_twice_gives_the_same(made: Made) -> None:
    data = made.build()
    assert not bad(made.rows())
    checks.ids_are_unique(data)
    checks.iterates_alike_twice(data)
    checks.crafting_is_disjoint(data)
    checks.samples_are_whole(data)
    on_disk.refuses_pictures_outside(data)


@every
def test_it_says_where_it_is_published_and_what_is_expected_of_it(made: Made) -> None:
    data = made.build()
    assert data.licence
    assert data.judges
    assert data.metrics
    if made.name in ("own", "subset", "shown", "targeted", "built", "preferences", "unicorns-sketch", "unicorns-ood"):
        return
    assert isinstance(data.origin, Source)
    assert data.origin.page.startswith("https://")
    assert data.failure_rule
    assert all(len(sha256) == 64 for sha256 in (data.origin.sha256 or {}).values())
    assert data.published.get("", 1) > 0


@every
def test_it_asks_no_network(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise AssertionError("a loader asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert good(made.rows())


@every
def test_pictures_may_be_left_out_where_there_are_any(made: Made) -> None:
    data = made.build()
    if not any(field.name == "pictures" and "left out" in str(field.type) for field in dataclasses.fields(data)):
        return
    for path in pictures_below(made.folder):
        path.unlink()
    assert (rows := list(made.build(pictures="left out")))
    assert not bad(rows)
    assert not any(row.chat.images for row in good(rows))
    assert len({row.id for row in rows}) == len(rows)


@with_tables
def test_the_key_follows_the_tables_and_nothing_else(made: Made) -> None:
    key = made.build().key
    assert made.build().key == key
    tables = tables_of(made.build())
    assert tables
    for table in tables:
        kept = table.read_bytes()
        table.write_bytes(kept.replace(b"a", b"e") if table.suffix != ".parquet" else kept + b"\0")
        assert made.build().key != key, table.name
        table.write_bytes(kept)
        assert made.build().key == key
    if made.name not in INSIDE:
        for path in pictures_below(made.folder)[:2]:
            path.write_bytes(images.encode(shown(99)))
        assert made.build().key == key
    (made.folder / "notes.txt").write_text("mine")
    assert made.build().key == key


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in NO_PICTURES])
@pytest.mark.parametrize("broken", ["gone", "no picture", "empty"])
def test_a_missing_or_broken_picture_costs_its_samples_and_no_others(made: Made, broken: str) -> None:
    before = made.rows()
    picture = made.pictures()[0]
    sha256 = images.read(picture).sha256
    for same in [path for path in pictures_below(made.folder) if images.read(path).sha256 == sha256]:
        same.unlink() if broken == "gone" else same.write_bytes(b"no picture" if broken != "empty" else b"")
    after = made.rows()
    lost = {row.id for row in good(before) if any(image.sha256 == sha256 for image in row.chat.images)}
    assert lost
    assert [row for row in good(before) if row.id not in lost] == good(after)
    if made.name != "tovilag" or broken != "gone":  # a folder: what is gone was never there
        assert 1 <= len(bad(after)) <= len(lost)
    assert all(row.reason and len(row.reason) < 500 for row in bad(after))


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in NO_PICTURES])
def test_pictures_are_known_by_their_content_and_found_in_another_case(made: Made) -> None:
    before = made.rows()
    for path in made.pictures():
        as_webp(path)
    assert made.rows() == before
    if made.name == "tovilag":  # the name is the id
        return
    for path in made.pictures():
        path.rename(path.with_suffix(path.suffix.swapcase()))
    assert made.rows() == before


@with_tables
def test_a_mark_of_byte_order_and_the_line_ends_of_windows_change_nothing(made: Made) -> None:
    before = made.rows()
    for table in tables_of(made.build()):
        if table.suffix != ".parquet":
            table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n"))
    assert made.rows() == before


@with_tables
def test_another_encoding_is_told_and_never_guessed(made: Made) -> None:
    for table in tables_of(made.build()):
        if table.suffix == ".parquet":
            continue
        kept = table.read_bytes()
        other = kept.decode().encode("gb18030")
        if other == kept:
            continue
        table.write_bytes(other)
        found = looked_at(made.build())
        reasons = found if isinstance(found, str) else " ".join(row.reason for row in bad(found))
        assert "expected UTF-8, found another encoding" in reasons, table.name
        table.write_bytes(kept)


@with_tables
def test_a_row_that_stands_twice_gives_no_id_twice(made: Made) -> None:
    for table in tables_of(made.build()):
        told, kept = told_in(table), table.read_bytes()
        if isinstance(told, list) and rows_in(told):
            write(table, [*told, told[0]])
            found = looked_at(made.build())
            if not isinstance(found, str):
                assert len({row.id for row in found}) == len(found)
            table.write_bytes(kept)


@with_tables
def test_a_column_under_another_name_is_named(made: Made) -> None:
    before, named = len(good(made.rows())), 0
    for table in tables_of(made.build()):
        kept = table.read_bytes()
        for column in list((rows_in(told_in(table)) or [{}])[0]):
            told = told_in(table)
            for row in rows_in(told):
                if column in row:
                    row[f"{column}, misspelt"] = row.pop(column)
            write(table, told)
            found = looked_at(made.build())
            said = found if isinstance(found, str) else " ".join(row.reason for row in bad(found))
            if isinstance(found, str) or len(good(found)) < before:
                named += 1
                assert column in said, (table.name, column, said)
            table.write_bytes(kept)
    assert named, "no column of any table is needed"


@with_tables
def test_a_field_of_two_million_letters_costs_its_row_or_is_one_error(made: Made) -> None:
    for table in tables_of(made.build()):
        kept = table.read_bytes()
        row = (rows_in(told_in(table)) or [{}])[0]
        for way in [way for way in places(row) if isinstance(_at(row, way), str)]:
            told = told_in(table)
            put(rows_in(told)[0], way, "x" * (2 * MAX_FIELD))
            write(table, told)
            found = looked_at(made.build())
            for sample in good(found) if not isinstance(found, str) else []:
                texts = [sample.id, sample.category, sample.target, sample.chat.last_text, *sample.references]
                assert all(len(text) <= MAX_FIELD for text in texts), (table.name, way)
            table.write_bytes(kept)


@every
def test_a_folder_with_nothing_in_it_is_one_error_that_names_it(made: Made, tmp_path: Path) -> None:
    if made.name in ("subset", "shown", "targeted"):
        return
    moved = {}
    for field, value in made.arguments.items():
        if isinstance(value, Path) and value.is_relative_to(made.folder):
            moved[field] = tmp_path / "empty" / value.relative_to(made.folder)
    shutil.rmtree(made.folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty"):
        list(made.build(**moved))


def _at(row: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        row = row[key]
    return row
