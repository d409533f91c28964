"""Many small files become few: at the end of a run, crash-safe, and every way of reading, writing anew and gc stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proofglass.errors import NothingMeasured, StoreError
from proofglass.records import cells as cells_module
from proofglass.records.store import Store
from proofglass.types import Score
from records.test_store import DONE, manifest, record

NAMES = tuple(f"c{k}" for k in range(6))


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells_module, "MANY", 3)


def fill(store: Store, cell: str, reply: str = "yes", value: float = 1.0) -> None:
    store.put_scores(cell, "jk", {f"s{k}": Score("j", value) for k in range(2)})
    store.seal(cell, [record(cell, f"s{k}", reply=f"{reply} {cell} {k}") for k in range(2)], {**DONE, "success": "jk"})


def made(folder: Path, names: tuple[str, ...] = NAMES) -> Store:
    with Store.create(folder, manifest(cells=names)) as store:
        for cell in reversed(names):
            fill(store, cell)
    return Store(folder)


def files(folder: Path) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name.split("/")[0] in ("cells", "scores", "sealed"))


def seen(store: Store) -> dict[str, Any]:
    return {
        "frame": store.frame().to_dicts(),
        "scores": store.scores().to_dicts(),
        "cells": store.cells(),
        "alone": {cell: store.frame(cell)["reply"].to_list() for cell in NAMES},
        "scores of": {cell: store.scores_of(cell, "jk") for cell in NAMES},
    }


def test_many_files_become_few_and_nothing_else_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cells_module, "MANY", 99)
        loose = made(tmp_path / "a")
        assert len(files(tmp_path / "a")) == 3 * len(NAMES)
    sealed = made(tmp_path / "b")
    assert files(tmp_path / "b") == ["sealed/cells-1.parquet", "sealed/index.json", "sealed/scores-1.parquet"]
    assert seen(sealed) == seen(loose)
    assert all(sealed.done(cell) and sealed.has_scores(cell, "jk") for cell in NAMES)
    assert not sealed.done("other")


def test_a_few_files_stay_files_of_their_own(tmp_path: Path) -> None:
    made(tmp_path, NAMES[:3])
    assert len(files(tmp_path)) == 9


def test_a_cell_that_is_measured_or_judged_again_counts_before_what_is_sealed(tmp_path: Path) -> None:
    store = made(tmp_path)
    with store.locked():
        fill(store, "c2", "anew", 0.0)
        store.put_scores("c4", "jk", {"s0": Score("j", 0.5)})
    assert store.frame("c2")["reply"].to_list() == ["anew c2 0", "anew c2 1"]
    assert store.frame()["cell"].to_list() == [cell for cell in NAMES for _ in range(2)]
    assert store.scores()["value"].to_list() == [1, 1, 1, 1, 0, 0, 1, 1, 0.5, 1, 1]
    before = seen(store)
    with store.locked():  # again many: all are sealed anew
        for cell in NAMES[:4]:
            fill(store, cell, "third")
    assert files(tmp_path) == ["sealed/cells-2.parquet", "sealed/index.json", "sealed/scores-2.parquet"]
    after = seen(Store(tmp_path))
    assert after["alone"] == before["alone"] | {c: [f"third {c} 0", f"third {c} 1"] for c in NAMES[:4]}
    assert after["scores of"]["c4"] == {"s0": Score("j", 0.5)}


def test_another_order_of_the_plan_is_the_order_of_the_frame(tmp_path: Path) -> None:
    made(tmp_path)
    order = ("c4", "c1", "c2", "c0")
    with Store.create(tmp_path, manifest(cells=order)) as store:
        assert store.frame()["cell"].to_list() == [cell for cell in order for _ in range(2)]
        assert store.scores()["cell"].to_list() == [cell for cell in order for _ in range(2)]


def close(store: Store) -> None:
    with store.locked():
        pass


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, *, after: bool) -> Iterator[None]:
    """As if the process died at the nth call of a function, before or after its work."""
    real: Callable[..., Any] = getattr(owner, name)
    count = 0

    def dies(*given: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == call and not after:
            raise KeyboardInterrupt
        found = real(*given, **more)
        if count == call:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(owner, name, dies)
    yield
    monkeypatch.setattr(owner, name, real)


@pytest.mark.parametrize(
    ("name", "call"),
    [("write_stream", 1), ("write_stream", 2), ("write_json", 1), *(("unlink", k) for k in (1, 2, 7, 13, 18, 20))],
)
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_moment_it_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int, after: bool
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cells_module, "MANY", 99)
        expected = seen(made(tmp_path))
        with Store(tmp_path).locked() as store:  # a seal that is there already, so that one is replaced
            patch.setattr(cells_module, "MANY", 3)
            fill(store, "c0")
        patch.setattr(cells_module, "MANY", 99)
        with Store(tmp_path).locked() as store:
            for cell in NAMES:
                fill(store, cell)
    store = Store(tmp_path)
    with killed_at(monkeypatch, cells_module, name, call, after=after), pytest.raises(KeyboardInterrupt):
        close(store)
    assert seen(Store(tmp_path)) == expected
    with Store(tmp_path).locked() as store:
        fill(store, "c5")
    assert seen(Store(tmp_path)) == expected


def test_a_run_that_measured_nothing_somewhere_is_sealed_too(tmp_path: Path) -> None:
    def run() -> None:
        with Store.create(tmp_path, manifest(cells=NAMES)) as store:
            for cell in NAMES:
                fill(store, cell)
            raise NothingMeasured("one cell measured nothing")

    with pytest.raises(NothingMeasured):
        run()
    assert len(files(tmp_path)) == 3


def test_gc_takes_out_of_the_seal_what_stands_in_no_plan_any_more(tmp_path: Path) -> None:
    made(tmp_path)
    with Store.create(tmp_path, manifest(cells=NAMES[:4])) as store:
        assert store.gc().bytes > 0
    assert list(json.loads((tmp_path / "sealed" / "index.json").read_bytes())["cells"]) == list(NAMES[:4])
    with Store.create(tmp_path, manifest(cells=NAMES)) as store:
        assert [cell["status"] for cell in store.cells()] == ["done"] * 4 + ["pending"] * 2
        assert store.frame().height == 8


@pytest.mark.parametrize("name", ["cells-1.parquet", "scores-1.parquet", "index.json"])
def test_a_changed_byte_in_the_seal_is_told(tmp_path: Path, name: str) -> None:
    made(tmp_path)
    path = tmp_path / "sealed" / name
    whole = path.read_bytes()
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(StoreError, match=rf"{name}: not as it was written.*delete the folder sealed"):
            seen(Store(tmp_path))
