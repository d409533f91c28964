"""The official files that are at hand: their hashes, the published counts, and no bad row among them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from proofglass import registry
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Sample

pytestmark = pytest.mark.realdata

SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "xstest": ("xstest", {}),
    "mossbench": ("mossbench", {"pictures": "left out"}),
    "harmbench-multimodal": ("harmbench_multimodal", {"pictures": "left out"}),
    "privqa": ("privqa", {"pictures": "left out"}),
    "safetybench": ("safetybench", {"language": "zh_subset"}),
}


def build(name: str, **more: Any) -> Dataset:
    folder, given = SETS[name]
    if not (root := os.environ.get("PROOFGLASS_REALDATA")):
        pytest.skip(f"PROOFGLASS_REALDATA is not set: the folder that holds {folder}")
    if not (Path(root) / folder).is_dir():
        pytest.skip(f"no {folder} in {root}")
    data: Dataset = registry.build("datasets", name, root=Path(root) / folder, **given, **more)
    return data


def samples(data: Dataset) -> list[Sample]:
    rows = list(data)
    assert not [row for row in rows if isinstance(row, BadSample)]
    assert len({row.id for row in rows}) == len(rows)
    return rows  # type: ignore[return-value]


@pytest.mark.parametrize("name", SETS)
def test_files_are_those_whose_hashes_are_named(name: str) -> None:
    data: Any = build(name)
    assert data.origin.checked == "data"
    named = data.origin.sha256 or {}
    there = {file: data.root / file for file in named if (data.root / file).is_file()}
    assert bool(there) == bool(named)
    assert {file: hashlib.sha256(path.read_bytes()).hexdigest() for file, path in there.items()} == {
        file: named[file] for file in there
    }


def test_xstest() -> None:
    rows, data = samples(build("xstest")), build("xstest")
    assert Counter(row.category for row in rows) == {k: n for k, n in data.published.items() if k}
    assert Counter(row.meta["label"] for row in rows) == {"safe": 250, "unsafe": 200}
    assert len(rows) == data.published[""]
    assert len(samples(build("xstest", part="safe"))) == 250


def test_mossbench_and_its_contrast() -> None:
    data = build("mossbench")
    rows = samples(data)
    assert dict(Counter(row.category for row in rows)) == {k: n for k, n in data.published.items() if k}
    both = samples(build("mossbench", part="both"))
    assert len(both) - len(rows) == 244
    pairs = Counter(row.group for row in both)
    assert Counter(pairs.values()) == {2: 244, 1: 56}


def test_harmbench() -> None:
    data = build("harmbench-multimodal")
    rows = samples(data)
    assert dict(Counter(row.category for row in rows)) == {k: n for k, n in data.published.items() if k}
    assert sum(row.meta["description"] != row.meta["redacted description"] for row in rows) == 50


def test_privqa() -> None:
    data = build("privqa")
    rows = samples(data)
    assert len(rows) == data.published[""] == 2000
    sides = Counter((row.category, row.expected) for row in rows)
    assert sides[("India", "protect")] + sides[("India", "control")] == 400
    assert {side for _, side in sides} == {"protect", "control"}
    textual = samples(build("privqa", modality="textual"))
    assert all(row.references for row in rows)
    assert 0 < sum(not row.references for row in textual) < 14  # null stands alone there
    (number,) = [row for row in rows if "accepted" in row.meta]
    low, high = number.meta["accepted"]
    assert low < float(number.references[0]) < high
    tables: Any = build("privqa", modality="textual")
    lines = sum(1 for path in tables.reads() for line in path.open("rb") if line.strip())
    assert len(textual) == lines


def test_safetybench() -> None:
    rows = samples(build("safetybench"))
    assert set(Counter(row.category for row in rows).values()) == {300}
    assert len(rows) == 2100
    assert {row.references[0] for row in rows} <= set("ABCD")
