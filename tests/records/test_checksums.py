"""Every byte of every kind of file, given another value: nothing that rots is ever used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from proofglass.errors import StoreError
from proofglass.records.journal import Answered, Journal
from proofglass.records.store import Store
from proofglass.types import Ask, Chat, Reply, Score
from proofglass.victims.api import ledger as ledgers
from proofglass.victims.api.cache import Cache
from proofglass.victims.api.ledger import Bill, Caps, Ledger
from proofglass.victims.api.loop import run
from records.test_store import DONE, manifest, picture, record


def flipped(path: Path, every: int = 1) -> Iterator[int]:
    """Every place in the file in turn, or every few, while the byte there has another value: its lowest bit."""
    whole = path.read_bytes()
    for at in range(0, len(whole), every):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        yield at
    path.write_bytes(whole)


def three_batches(path: Path) -> None:
    with Journal(path) as journal:
        for name in "abc":
            # What a reply quotes may look like a checksum: it stands in quotation marks of its own there.
            journal.append(Answered(name, "v", (Reply(f'{name}","sha256":"{"0" * 64}"}}'),), 0.5))


def test_a_journal_with_any_byte_changed_is_refused_its_last_line_break_included(tmp_path: Path) -> None:
    path = tmp_path / "j"
    three_batches(path)
    for at in flipped(path):
        rotten = path.read_bytes()
        with pytest.raises(StoreError, match=rf"j:{rotten[:at].count(10) + 1}: not as it was written"):
            Journal(path)
        assert path.read_bytes() == rotten  # nothing is cut off that a copy may mend


def test_behind_a_torn_line_a_changed_byte_loses_no_whole_one(tmp_path: Path) -> None:
    # 3 whole lines and half of a fourth: a byte in the half may do anything but bring back a batch; one in front of it,
    # the line break between them too, is damage.
    path = tmp_path / "j"
    three_batches(path)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:60])
    torn = path.read_bytes()
    for at in flipped(path):
        if at < len(whole):
            with pytest.raises(StoreError, match="not as it was written"):
                Journal(path)
        else:
            with Journal(path) as journal:
                assert len(journal) == 3
    assert path.read_bytes() == torn


def test_a_line_that_rots_while_the_journal_is_open_is_not_recalled(tmp_path: Path) -> None:
    path = tmp_path / "j"
    three_batches(path)
    with Journal(path) as journal:
        path.write_bytes(path.read_bytes().replace(b'"b"', b'"B"'))
        assert journal.recall("a") is not None
        with pytest.raises(StoreError, match="not as it was written"):
            journal.recall("b")


def sealed(folder: Path) -> Store:
    with Store.create(folder, manifest(cells=("c1",))) as store:
        store.seal("c1", [record(reply="yes", attacked_images=[store.put_image(picture(1))])], DONE)
        store.put_scores("c1", "jk", {"s1": Score("j", 1.0)})
    return Store(folder)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("manifest.json", "run the study into this folder again"),
        ("cells/c1.json", "answers are taken from the journal"),
        ("cells/c1.parquet", "answers are taken from the journal"),
        ("scores/c1.jk.parquet", "judged anew"),
    ],
)
def test_a_file_with_any_byte_changed_is_refused_and_the_error_says_how_to_go_on(
    tmp_path: Path, name: str, fix: str
) -> None:
    sealed(tmp_path)
    for _ in flipped(tmp_path / name, every=61 if name.endswith("parquet") else 5):
        with pytest.raises(StoreError, match=rf"{name}: not as it was written.*{fix}"):
            (store := Store(tmp_path)).cells(), store.frame(), store.scores()
    assert Store(tmp_path).frame()["reply"].to_list() == ["yes"]


@pytest.mark.parametrize(
    ("name", "other"),
    [("cells/c1.json", "c2.json"), ("cells/c1.parquet", "c2.parquet"), ("scores/c1.jk.parquet", "c1.kk.parquet")],
)
def test_a_whole_file_in_the_place_of_another_is_refused(tmp_path: Path, name: str, other: str) -> None:
    # Of equal kind and sound in itself: two judges of one cell, changed over, gave the rates of each to the other.
    sealed(tmp_path)
    path = tmp_path / name
    with Store.create(tmp_path / "b", manifest(cells=("c2",))) as store:
        store.seal("c2", [record(reply="no")], DONE)
        store.put_scores("c1", "kk", {"s1": Score("k", 0.0)})
    (tmp_path / "b" / path.parent.name / other).replace(path)
    with pytest.raises(StoreError, match=rf"{name}: not as it was written"):
        (store := Store(tmp_path)).cells(), store.frame(), store.scores()


def test_a_picture_with_any_byte_changed_is_itself_or_refused(tmp_path: Path) -> None:
    store = sealed(tmp_path)
    path = store.image_path(picture(1).sha256)
    for _ in flipped(path):
        try:  # not every byte of a PNG is about its pixels
            assert (store.image(picture(1).sha256).array() == 1).all()
        except StoreError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_parquet_files_stay_open_to_every_reader(tmp_path: Path) -> None:
    sealed(tmp_path)
    assert pl.read_parquet(tmp_path / "cells" / "c1.parquet")["reply"].to_list() == ["yes"]
    assert pl.scan_parquet(tmp_path / "scores" / "c1.jk.parquet").select("value").collect().item() == 1.0


def test_a_run_whose_manifest_is_gone_goes_on_beside_its_report_and_ledger(tmp_path: Path) -> None:
    sealed(tmp_path)
    for name in ("report", "ledger"):
        (tmp_path / name).mkdir()
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(StoreError, match="holds 'ledger' but no run"), Store.create(tmp_path, manifest()):
        pass
    three_batches(tmp_path / "journal.jsonl")
    with Store.create(tmp_path, manifest(cells=("c1",))) as store:
        assert store.done("c1")


def test_a_folder_of_the_first_version_is_told_so_and_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(manifest() | {"schema_version": 1}))
    with pytest.raises(StoreError, match=r"schema version 1, this Proofglass reads version \d.*new folder"):
        Store(tmp_path)


def test_a_ledger_with_any_byte_changed_is_refused(tmp_path: Path) -> None:
    async def one() -> None:
        ledger = Ledger(tmp_path / "l")
        n = await ledger.sent("a:0", 1, Bill(1, 100, 0.5), 90, Caps())
        await ledger.answered(n, Reply("yes"), "m", (10, 5), 0.1)

    run(one())
    path = tmp_path / "l" / ledgers.FILE
    for _ in flipped(path):
        with pytest.raises(StoreError, match=r"calls\.jsonl:[12]: not as it was written.*counts against no budget"):
            ledgers.read(path)


def test_a_cached_answer_with_any_byte_changed_is_asked_again(tmp_path: Path) -> None:
    cache, ask = Cache(tmp_path / "c", {"model": "m"}), Ask(Chat.user("what?"))
    cache.put(ask, Reply("yes"), "m")
    for _ in flipped(cache.path(ask)):
        assert cache.get(ask) is None
    assert cache.get(ask) == Reply("yes", cost=cache.get(ask).cost)  # type: ignore[union-attr]
