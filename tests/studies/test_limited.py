"""`--limit`: takes what a larger run has, writes beside it, and is taken over by a larger one, batch by batch."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from proofglass import api
from proofglass.errors import StoreError
from proofglass.records.store import Store
from proofglass.studies import judge_study, run_study
from scripted_study import WHOLE, asked, run, tables


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def files(folder: Path) -> dict[str, bytes]:
    """What a run folder says about itself, without what it shares with those of a limit."""
    own = [folder / "manifest.json", *folder.glob("cells/*"), *folder.glob("scores/*"), *folder.glob("report/**/*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in own if path.is_file()}


def test_the_first_samples_of_each_data_set_in_a_folder_of_their_own(study, tmp_path: Path) -> None:
    store = run(study(WHOLE), tmp_path / "run", limit=3)
    assert store.path == tmp_path / "run" / "limit-3"
    assert store.manifest()["limit"] == 3
    assert {c["planned"] for c in store.cells()} == {3}
    assert set(store.frame()["sample_id"]) == {f"{p}{k}" for p in ("first", "second") for k in range(3)}
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_after_the_full_run_nothing_is_asked_nor_crafted_and_its_report_stays(study, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "run"
    full = run(study(WHOLE.replace("LOG", str(log))), out)
    api.Run(out).report()
    before, said, pictures = files(out), log.read_text(), set((out / "artefacts").rglob("*"))
    store = run(study(WHOLE.replace("LOG", str(log))), out, limit=3)
    assert log.read_text() == said
    assert set((out / "artefacts").rglob("*")) == pictures
    assert files(out) == before
    wanted = full.frame().filter(full.frame()["sample_id"].str.contains("[0-2]$")).drop("cell").to_dicts()
    assert store.frame().drop("cell").to_dicts() == wanted
    assert {cell["status"] for cell in store.cells()} == {"done"}
    assert len(store.scores()) == 2 * len(store.frame()) == 2 * 8 * 3
    # own-speck crafts one picture a sample: 3 of the 10 are these samples' (chunks of 4: all in the first).
    own = next(c["craft"] for c in store.cells() if c["attack"] == "own-speck")
    assert (own["artefacts"], own["forward"]) == (3, 3)
    assert {cell["money_new"] for cell in store.cells()} == {0}
    assert api.Run(store.path).report().exists()


@pytest.mark.parametrize("limit", [3, 4, 8])
def test_a_full_run_after_a_limited_one_takes_over_whole_batches_and_ends_as_without_it(
    study, tmp_path: Path, limit: int
) -> None:
    log, out = tmp_path / "log", tmp_path / "run"
    whole = tables(run(study(WHOLE.replace("LOG", "log0")), tmp_path / "whole"))
    run(study(WHOLE.replace("LOG", str(log))), out, limit=limit)
    limited, once = files(out / f"limit-{limit}"), asked(log)
    found = tables(run(study(WHOLE.replace("LOG", str(log))), out))
    assert {k: found[k] for k in ("frame", "scores", "cells")} == {k: whole[k] for k in ("frame", "scores", "cells")}
    assert files(out / f"limit-{limit}") == limited
    # Chunks of 4, so a limit of 4 or 8 is whole batches: 4 cells a side, 2 of them with a second round.
    again = len(asked(log)) - len(set(asked(log)))
    assert again == (0 if limit % 4 == 0 else len(once))


def test_a_smaller_limit_takes_from_a_larger_one(study, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "run"
    run(study(WHOLE.replace("LOG", str(log))), out, limit=4)
    said = log.read_text()
    store = run(study(WHOLE.replace("LOG", str(log))), out, limit=2)
    assert log.read_text() == said
    assert store.frame().height == 8 * 2


def test_a_copy_of_a_limited_run_is_nobodys(study, tmp_path: Path) -> None:
    run(study(WHOLE), tmp_path / "run")
    run(study(WHOLE), tmp_path / "run", limit=3)
    shutil.copytree(tmp_path / "run" / "limit-3", tmp_path / "run" / "limit-3-old")
    assert run(study(WHOLE), tmp_path / "run", limit=2).frame().height == 8 * 2


def test_what_a_full_run_of_other_data_holds_is_not_taken(study, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "run"
    run(study(WHOLE.replace("LOG", str(log))), out)
    said = len(asked(log))
    text = WHOLE.replace("LOG", str(log)).replace("seed: 7", "seed: 8").replace("part: second", "part: third")
    store = run(study(text), out, limit=2)
    assert set(store.frame()["sample_id"]) == {"first0", "first1", "third0", "third1"}
    assert len(asked(log)) > said


def test_a_limited_run_goes_on_and_is_judged_anew_in_its_own_folder(study, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "run"
    first = tables(run(study(WHOLE.replace("LOG", str(log))), out, limit=3))
    said = log.read_text()
    assert tables(run(study(WHOLE.replace("LOG", str(log))), out, limit=3)) == first
    text = WHOLE.replace("LOG", str(log)).replace("[long]", "[long, mute]\nsuccess: long")
    assert set(judge_study(study(text), out / "limit-3").scores()["judge"]) == {"not-refused", "long", "mute"}
    assert log.read_text() == said


def test_a_full_run_never_goes_over_a_limited_one(study, tmp_path: Path) -> None:
    run(study(WHOLE), tmp_path / "run", limit=3)
    with pytest.raises(StoreError, match=r"first 3 samples.*--out .*run --limit 3"):
        run(study(WHOLE), tmp_path / "run" / "limit-3")
    # Nor does another limit go into it: its pictures would be looked for where they are not.
    with pytest.raises(StoreError, match=r"first 3 samples.*--out .*run --limit 2"):
        run(study(WHOLE), tmp_path / "run" / "limit-3", limit=2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").write_text("x")
    with pytest.raises(StoreError, match=r"holds 'thesis\.doc' but no run"):
        run(study(WHOLE), tmp_path / "mine", limit=3)


def test_a_limited_run_of_another_study_is_refused_as_a_full_one_is(study, tmp_path: Path) -> None:
    other = WHOLE.replace("name: whole", "name: other")
    run(study(WHOLE), tmp_path / "full")
    run(study(WHOLE), tmp_path / "limited", limit=3)
    for folder, limit in (("full", 3), ("full", None), ("limited", 2), ("limited", None)):
        with pytest.raises(StoreError, match="holds the study 'whole', not 'other'"):
            run(study(other), tmp_path / folder, limit=limit)


def test_gc_keeps_what_a_limited_run_needs(study, tmp_path: Path) -> None:
    run(study(WHOLE), tmp_path / "run", limit=3)
    run(study(WHOLE), tmp_path / "run")
    with Store(tmp_path / "run").locked() as store:
        assert store.gc().files == 0
    limited = Store(tmp_path / "run" / "limit-3")
    assert all(limited.image(sha).width == 8 for row in limited.frame()["attacked_images"] for sha in row)


def test_the_terminal_says_where_the_limited_run_lies(study, tmp_path: Path, capsys) -> None:
    run_study(study(WHOLE), tmp_path / "run", limit=3)
    folder = tmp_path / "run" / "limit-3"
    assert f"The first 3 samples of each data set, in {folder}, beside the run of all." in capsys.readouterr().err
