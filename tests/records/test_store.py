from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proofglass.errors import StoreError
from proofglass.records import files
from proofglass.records.crafts import Crafted
from proofglass.records.schema import (
    SCHEMA_VERSION,
    Record,
    chat_from_json,
    chat_to_json,
    is_secret,
    plain,
    record_schema,
    score_schema,
)
from proofglass.records.store import Store
from proofglass.types import Artefact, Chat, Cost, Image, Score


def manifest(name: str = "s", cells: tuple[str, ...] = ("c1", "c2"), **more: Any) -> dict[str, Any]:
    plan = [
        {"cell": c, "victim": "v", "attack": "a", "defense": "d", "dataset": c, "planned": 1, "skip": ""} for c in cells
    ]
    return {
        "name": name,
        "schema_version": SCHEMA_VERSION,
        "judges": ["j"],
        "success": "j",
        "plugs": {"judges": {"j": {"name": "j", "key": "jk"}}},
        "plan": plan,
        "started": "monday",
        **more,
    }


def record(cell: str = "c1", sample: str = "s1", **more: Any) -> Record:
    texts = {name: "" for name, kind in record_schema().items() if str(kind) == "String"}
    numbers = dict.fromkeys(("queries", "tokens_in", "tokens_out", "seed", "chunk"), 0)
    given = {**texts, **numbers, "money": 0.0, "attacked_images": [], "clean_image": None, "artefact": None}
    given |= {"conversation": "[]", "asked": "[]", "meta": "{}", "cell": cell, "sample_id": sample, "dataset_key": "dk"}
    return Record(**{**given, **more})


DONE = {"status": "done", "reason": "", "seconds": 1.5, "peak_bytes": 7, "craft": None}


def picture(value: int) -> Image:
    return Image.from_array(np.full((4, 5, 3), value, np.uint8))


def test_what_is_sealed_comes_back_in_plan_order(tmp_path: Path) -> None:
    with Store.create(tmp_path / "run", manifest()) as store:
        store.seal("c2", [record("c2", "s9")], DONE)
        store.seal("c1", [record("c1", "s1"), record("c1", "s0", reply="é\x00", money=0.1)], DONE)
        store.put_scores("c1", "jk", {"s1": Score("j", 1.0), "s0": Score.unjudged("j", "empty")})
    store = Store(tmp_path / "run")
    assert store.frame()["sample_id"].to_list() == ["s1", "s0", "s9"]
    assert store.frame()["reply"].to_list() == ["", "é\x00", ""]
    assert dict(store.frame().schema) == record_schema()
    assert store.scores().rows() == [
        ("c1", "s1", "j", 1.0, "", "", "", "", "", store.frame()["attempt"][0]),
        ("c1", "s0", "j", None, "unjudged", "empty", "", "", "", store.frame()["attempt"][1]),
    ]
    assert [(c["cell"], c["status"], c["seconds"]) for c in store.cells()] == [
        ("c1", "done", 1.5),
        ("c2", "done", 1.5),
    ]


def test_before_anything_ran_the_tables_are_empty_with_their_columns(tmp_path: Path) -> None:
    with Store.create(tmp_path, manifest()) as store:
        assert store.frame().is_empty()
        assert store.frame().columns == list(record_schema())
        assert store.scores().columns == list(score_schema())
        assert [c["status"] for c in store.cells()] == ["pending", "pending"]


def test_a_cell_counts_as_done_only_once_its_status_file_is_there(tmp_path: Path) -> None:
    with Store.create(tmp_path, manifest()) as store:
        store.seal("c1", [record()], DONE)
        assert store.done("c1")
        (tmp_path / "cells" / "c1.json").unlink()  # as if killed between the two files
        assert not store.done("c1")


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    second = Store.create(tmp_path, manifest())
    with Store.create(tmp_path, manifest()), pytest.raises(StoreError, match=rf"pid {os.getpid()}\b"):
        second.__enter__()
    with Store.create(tmp_path, manifest()):
        pass  # free again


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal; from proofglass.records.lock import Lock; from pathlib import Path\n"
        "lock = Lock(Path(sys.argv[1])); print('held', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == "held\n"
    assert done.returncode == -9
    with Store.create(tmp_path, manifest()):
        pass


def test_writing_without_the_lock_is_refused(tmp_path: Path) -> None:
    with Store.create(tmp_path, manifest()):
        pass
    with pytest.raises(StoreError, match="open for reading"):
        Store(tmp_path).put_image(picture(1))


def test_another_schema_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with Store.create(tmp_path, manifest()):
        pass
    told = json.loads((tmp_path / "manifest.json").read_text())
    told |= {"schema_version": 99, "versions": {"proofglass": "7.1"}}
    (tmp_path / "manifest.json").write_text(json.dumps(told))
    for opened in (lambda: Store(tmp_path), lambda: Store.create(tmp_path, manifest()).__enter__()):
        with pytest.raises(StoreError, match=r"schema version 99.*reads version \d+.*7\.1.*new folder"):
            opened()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda p: p.mkdir(), "holds no run"),
        (lambda p: None, "holds no run"),
        (lambda p: (p.mkdir(), (p / "manifest.json").write_text("{")), "not as it was written"),
    ],
)
def test_a_folder_without_a_readable_run_is_told(tmp_path: Path, prepare: Any, message: str) -> None:
    prepare(tmp_path / "run")
    with pytest.raises(StoreError, match=message):
        Store(tmp_path / "run")


def test_a_run_is_never_written_over_other_things(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with (
        pytest.raises(StoreError, match=r"holds 'thesis\.tex' but no run"),
        Store.create(tmp_path, manifest()),
    ):
        pass
    with pytest.raises(StoreError, match="is a file"), Store.create(tmp_path / "thesis.tex", manifest()):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_study_of_another_name_is_refused_and_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    with Store.create(tmp_path, manifest("one")):
        pass
    with pytest.raises(StoreError, match="holds the study 'one', not 'two'"):
        Store.create(tmp_path, manifest("two")).__enter__()
    assert Store(tmp_path).manifest()["name"] == "one"


def test_going_on_keeps_the_first_start_and_judges_added_since(tmp_path: Path) -> None:
    with Store.create(tmp_path, manifest()) as store:
        store.put_judges({"new": {"name": "new", "key": "nk"}}, "new", "judges: [new]")
        assert store.manifest()["study_text"] == "judges: [new]"
    with Store.create(tmp_path, manifest(started="tuesday")) as store:
        assert store.manifest()["started"] == "monday"
        assert store.manifest()["judges"] == ["j", "new"]


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")],
)
def test_disk_trouble_is_one_clear_line_and_what_is_there_stays_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def fails(file: int) -> None:
        raise OSError(number, os.strerror(number))

    with Store.create(tmp_path, manifest()) as store:
        store.seal("c1", [record(reply="before")], DONE)
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", fails)
            with pytest.raises(StoreError, match=message) as caught:
                store.seal("c1", [record(reply="after")], DONE)
        assert "\n" not in str(caught.value)
        assert store.frame()["reply"].to_list() == ["before"]
        assert not list(tmp_path.rglob(f"*{files.TEMPORARY}"))


def test_half_written_files_of_a_killed_writer_are_swept(tmp_path: Path) -> None:
    with Store.create(tmp_path, manifest()):
        pass
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / f"c1.json{files.TEMPORARY}").write_text("{")
    with Store.create(tmp_path, manifest()) as store:
        assert not list((tmp_path / "cells").iterdir())
        assert not store.done("c1")


def test_a_picture_is_kept_once_under_the_hash_of_its_pixels(tmp_path: Path) -> None:
    with Store.create(tmp_path, manifest()) as store:
        sha = store.put_image(picture(7))
        written = store.image_path(sha).stat().st_mtime_ns
        assert store.put_image(picture(7)) == sha
        assert store.image_path(sha).stat().st_mtime_ns == written
        assert store.image_path(sha) == tmp_path / "artefacts" / sha[:2] / f"{sha}.png"
        np.testing.assert_array_equal(store.image(sha).array(), picture(7).array())


def test_a_picture_whose_file_changed_is_refused(tmp_path: Path) -> None:
    with Store.create(tmp_path, manifest()) as store:
        one, two = store.put_image(picture(1)), store.put_image(picture(2))
        store.image_path(one).write_bytes(store.image_path(two).read_bytes())
        with pytest.raises(StoreError, match="other pixels"):
            store.image(one)
        store.image_path(two).write_bytes(b"\x89PNG")
        with pytest.raises(StoreError, match="cannot be read"):
            store.image(two)


def test_artefacts_come_back_with_pictures_costs_and_meta(tmp_path: Path) -> None:
    made = Artefact(
        sample_id="s",
        images=(picture(3),),
        texts=("t",),
        clean=picture(4),
        crafted_on="vk",
        cost=Cost(forward=2, backward=1),
        trace={"loss": [1.0, float("inf")]},
        meta={"size": [4, 5]},
    )
    with Store.create(tmp_path, manifest()) as store:
        store.put_crafted(Crafted("key", (made,), 2.5, 11), {"attack": "a"})
        found = store.crafted("key")
        assert store.crafted("other") is None
    assert found is not None
    assert (found.seconds, found.peak_bytes) == (2.5, 11)
    assert found.artefacts[0].trace == {"loss": [1.0, None]}  # strict JSON holds no infinity
    assert found.artefacts == (Artefact(**{**vars(made), "trace": {"loss": [1.0, None]}}),)


def test_gc_deletes_what_no_record_names_and_nothing_else(tmp_path: Path) -> None:
    with Store.create(tmp_path, manifest()) as store:
        shas = [store.put_image(picture(v)) for v in range(5)]
        store.put_crafted(Crafted("used", (Artefact(images=(picture(0),)),)), {})
        store.put_crafted(Crafted("unused", (Artefact(images=(picture(1),)),)), {})
        talk, asked = (chat_to_json(Chat.user(picture(k), "x")) for k in (3, 2))
        mine = record(artefact="used", asked=asked, conversation=talk)
        store.seal("c1", [mine], DONE)
        with pytest.raises(StoreError, match="1 cells are not finished"):
            store.gc()
        store.seal("c2", [record("c2")], DONE)
        store.seal("old", [record("old", dataset_key="old")], DONE)
        store.put_scores("c1", "jk", {"s1": Score("j", 1.0)})
        store.put_scores("c1", "gone", {"s1": Score("j", 1.0)})
        swept = store.gc()
    # unused.json, pictures 1 and 4, old.json, old.parquet, its samples, the scores of a judge that is gone
    assert swept.files == 7
    assert swept.bytes > 0
    assert sorted(p.stem for p in (tmp_path / "artefacts").rglob("*.png")) == sorted(shas[k] for k in (0, 2, 3))
    assert [p.name for p in (tmp_path / "artefacts").glob("*.json")] == ["used.json"]
    assert sorted(p.name for p in (tmp_path / "scores").iterdir()) == ["c1.jk.parquet"]


def test_a_chat_comes_back_with_the_order_of_its_parts() -> None:
    chat = Chat.user("a", picture(1), "b").with_system("s").say("no").ask(picture(2))
    kept = {image.sha256: image for image in chat.images}
    assert chat_from_json(chat_to_json(chat), kept.__getitem__) == chat
    assert json.loads(chat_to_json(chat))[1]["parts"] == [["text", "a"], ["image", picture(1).sha256], ["text", "b"]]


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "key",
        "keys",
        "API_KEY",
        "apikey",
        "access-token",
        "token",
        "secret",
        "db_password",
        "credentials",
    ],
)
def test_credentials_are_written_as_stars(name: str) -> None:
    assert plain({"deep": [{name: "hunter2"}]}) == {"deep": [{name: "***"}]}
    assert plain({name: 1234}) == {name: "***"}


@pytest.mark.parametrize("name", ["max_new_tokens", "keywords", "tokenizer", "monkey", "tokens_out"])
def test_words_that_only_sound_like_credentials_stay_readable(name: str) -> None:
    assert not is_secret(name, "x")
