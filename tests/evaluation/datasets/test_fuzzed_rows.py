"""Whatever a table holds in whatever field, a loader gives samples, bad samples with a reason, or one error."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.datasets.layouts import places, put, rows_in, tables_of, told_in, write
from evaluation.datasets.test_every_loader import WITH_TABLES, Made
from proofglass.errors import UsageError
from proofglass.studies import rows as study_rows
from proofglass.types import BadSample, Sample

# So many for each loader; `PROOFGLASS_FUZZ=10000 pytest tests/evaluation/datasets/test_fuzzed_rows.py` for more.
CASES = int(os.environ.get("PROOFGLASS_FUZZ", "25"))

ODD = [
    "", " ", "\0", "\ud800", "../x.png", "/etc/hostname", "C:\\x.png", "x" * 1001, "İ", "{question}", "%s", "NaN", "-1",
    "9" * 30, "ﷺ" * 40, "a\nb", '"', "train2017/", ".", "*",
]  # fmt: skip
TEXTS = st.sampled_from(ODD) | st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
PLAIN = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from([t for t in ODD if t != "\ud800"])


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    return {name: Made(name, tmp_path_factory.mktemp("fuzzed") / "mini") for name in WITH_TABLES}


@pytest.mark.parametrize("name", WITH_TABLES)
@settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_field(miniatures: dict[str, Made], name: str, data: st.DataObject) -> None:
    made = miniatures[name]
    tables = tables_of(made.build())
    table = data.draw(st.sampled_from(tables))
    kept, told = table.read_bytes(), told_in(table)
    try:
        for _ in range(data.draw(st.integers(1, 3))):
            _spoil(told, table.suffix, data)
        write(table, told)
        _check(made)
    finally:
        table.write_bytes(kept)


def _spoil(told: Any, suffix: str, data: st.DataObject) -> None:
    """Another value somewhere in `told`; in Parquet, whose columns have one type, in a whole column of texts."""
    rows = rows_in(told)
    if suffix == ".parquet":
        column = data.draw(st.sampled_from([key for key, value in rows[0].items() if not isinstance(value, dict)]))
        value = data.draw(PLAIN | st.none() | st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=2))
        for row in rows:
            row[column] = value
        return
    whole = told if not rows else rows[data.draw(st.integers(0, len(rows) - 1))]
    ways = list(places(whole))
    if ways:
        way = data.draw(st.sampled_from(ways))
        put(whole, way, data.draw(PLAIN if suffix in (".csv", ".tsv") else VALUES))


def _check(made: Made) -> None:
    try:
        rows = list(made.build())
    except UsageError:
        return
    for row in rows:
        assert isinstance(row, (Sample, BadSample))
        if isinstance(row, BadSample):
            assert row.reason
            assert len(row.reason) < 2_000
        else:
            assert row.chat.last_text.strip(), "asks nothing"
            json.dumps(dict(row.meta))
    read = list(study_rows.read(made.build(), made.name, "study.yaml:1", None, 5))
    assert len({row.id for row in read}) == len(read) == len(rows)
