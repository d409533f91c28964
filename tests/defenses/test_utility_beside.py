"""Usefulness beside safety: the sets of harmless questions run behind the defenses, on the same victim."""

from __future__ import annotations

from pathlib import Path

import pytest

import proofglass as pg
from conformance.fixtures import MADE
from proofglass.interfaces import Dataset
from proofglass.records.store import Store
from proofglass.registry import build
from proofglass.testbed import world

SETS = ("testbed", "xstest", "mossbench", "lvlm-safer")


def data_of(name: str, folder: Path) -> Dataset:
    if name == "testbed":
        found: Dataset = build("datasets", "testbed", part="borderline", n=6, craft_n=2)
        return found
    made: Dataset = build("datasets", name, **MADE[name](folder))
    return made


@pytest.mark.filterwarnings("ignore:measure:UserWarning")  # the judge knows the Vale, these questions are of the world
@pytest.mark.parametrize("name", SETS)
def test_harmless_questions_are_measured_behind_a_stack(name: str, tmp_path: Path) -> None:
    wall = pg.defense("guard-output", judge=pg.judge("forbidden-phrases", phrases=world.SEALED))
    stack = pg.Stack((pg.defense("self-reminder", before="be kind .", behind=""), wall))
    (folder := tmp_path / "set").mkdir()
    rates = pg.measure("testbed-linear", "no-attack", data_of(name, folder), stack, out=tmp_path / "run")
    assert any(judge.startswith("not-refused") and rate.n > 0 for judge, rate in rates.items()), rates
    rows = Store(tmp_path / "run").frame().to_dicts()
    assert rows
    assert not [row["reason"] for row in rows if row["outcome"] == "error"]
    decided = [row for row in rows if row["outcome"] in ("ok", "blocked") and row["reply"].strip()]
    assert decided
    assert all("guard-output" in str(row["decisions"]) for row in decided)
