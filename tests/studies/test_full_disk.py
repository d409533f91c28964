"""Faults of the machine: never a sample's failure; the run stops with one line and goes on to the same report."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proofglass.errors import EnvironmentFault, ImageError, StoreError, is_environment, remedy
from proofglass.records.store import Store
from proofglass.studies.asks import planned_ask
from scripted_plugs import AskTwice, EchoVictim, Lines, Long, OwnSpeck, Speck
from scripted_study import SMALL, TESTS, run, tables

ROOT = TESTS.parent


class OutOfMemoryError(RuntimeError):
    """Named as torch's is."""


def oserror(number: int) -> OSError:
    return OSError(number, os.strerror(number))


FAULTS = [
    oserror(errno.ENOSPC),
    oserror(errno.EIO),
    oserror(errno.EMFILE),
    MemoryError(),
    OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("CUDA error: unspecified launch failure"),
    ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("x"), oserror(errno.EMFILE)]),
]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


PLACES = [
    (EchoVictim, "reply"),
    (OwnSpeck, "craft"),
    (Speck, "craft"),
    (OwnSpeck, "apply"),
    (AskTwice, "flow"),
    (Long, "score"),
    (Lines, "crafting"),
    (Lines, "_broken"),
]


@pytest.mark.parametrize(
    ("place", "fault"),
    [*((place, oserror(errno.EIO)) for place in PLACES), *((PLACES[k % 6], fault) for k, fault in enumerate(FAULTS))],
    ids=str,
)
def test_a_fault_of_the_machine_stops_the_run_and_the_same_call_makes_the_same(
    study, tmp_path: Path, monkeypatch, place: tuple[type, str], fault: Exception
) -> None:
    cls, method = place
    of_the_plan = planned_ask().chat
    text = SMALL if method != "_broken" else SMALL.replace("{n: 3}", "{n: 4, faults: true}")

    def fails(*_: Any, **__: Any) -> Any:
        if method == "flow" and _[1].chat == of_the_plan:
            return iter(())  # the plan, which asks no victim, is not hit
        if method == "_broken":  # as `images.read` says it
            raise ImageError("x.png: cannot be read") from fault
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(cls, method, staticmethod(fails) if method == "_broken" else fails)
        with pytest.raises(EnvironmentFault, match=r"stopped: .*then run the same command again"):
            run(study(text), tmp_path / "run")
    assert not [c for c in Store(tmp_path / "run").cells() if c["status"] == "failed"]
    found = tables(run(study(text), tmp_path / "run"))
    whole = tables(run(study(text), tmp_path / "whole"))
    assert {k: found[k] for k in ("frame", "scores", "cells")} == {k: whole[k] for k in ("frame", "scores", "cells")}


class Unreadable(RuntimeError):
    def __str__(self) -> str:
        raise ValueError("no message")


def test_what_stands_behind_an_error_is_looked_at_once_and_need_not_be_readable() -> None:
    # `raise error from error`, which Python lets pass, and two that name each other: followed naively, without end.
    first, second = Unreadable(), ValueError("x")
    first.__cause__, second.__cause__ = second, first
    assert not is_environment(first)
    assert remedy(first) == ""
    second.__cause__ = ExceptionGroup("both", [first, oserror(errno.ENOSPC)])
    assert is_environment(first)
    assert "disk is full" in remedy(first)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_checkpoint_that_cannot_be_written_is_no_samples_failure(study, tmp_path: Path, monkeypatch, number) -> None:
    import torch

    from proofglass.engine.checkpoints import next_slot

    full = [True]

    def craft(self: OwnSpeck, victim: Any, samples: Any, **more: Any) -> Any:
        slot = next_slot("f")
        assert slot is not None
        with monkeypatch.context() as patch:
            if full[0]:
                patch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(oserror(number)))
            slot.save({"x": torch.zeros(1)}, {})
        yield from real(self, victim, samples, **more)

    real = OwnSpeck.craft
    monkeypatch.setattr(OwnSpeck, "craft", craft)
    with pytest.raises((EnvironmentFault, StoreError), match=r"00001\.safetensors: cannot be written"):
        run(study(SMALL), tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.part"))
    full[0] = False
    store = run(study(SMALL), tmp_path / "run")
    assert set(store.frame()["outcome"]) == {"ok"}


def disk(*options: str) -> str:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "full_disk.py"), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "violations: 0" in ended.stdout
    return ended.stdout


def test_a_full_disk_at_any_write_changes_no_report(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(SMALL.replace(": {log: LOG}", ""))
    plugs = str(TESTS / "scripted_plugs.py")
    told = disk("--study", str(tmp_path / "study.yaml"), "--plugs", plugs, "--writes", "8", "--seed", "5")
    assert "8 writes on a full disk" in told


@pytest.mark.slow
def test_a_full_disk_at_any_write_of_a_run_that_crafts_by_gradient_changes_no_report() -> None:
    told = disk("--writes", "20")
    assert "drafts" in told
    assert "20 writes on a full disk" in told
