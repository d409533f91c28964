"""Eleven loaders beyond `test_every_loader`: odd names, tables that are none, whatever a row holds without pictures."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.datasets.makers_second import LAYOUTS, Made, packed
from proofglass import registry
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.reading import MAX_FIELD
from proofglass.types import BadSample, Sample

NAMES = tuple(LAYOUTS)
NAMING = ("siuo", "mssbench", "vlsbench", "holisafe", "lvlm-safer", "vscbench", "mis")  # pictures by their file's name


def loaded(name: str, made: Made, **more: Any) -> list[Sample | BadSample]:
    return list(registry.build("datasets", name, **{**made.arguments, **more}))


def good(rows: list[Sample | BadSample]) -> list[Sample]:
    return [row for row in rows if isinstance(row, Sample)]


def bad(rows: list[Sample | BadSample]) -> list[BadSample]:
    return [row for row in rows if isinstance(row, BadSample)]


def told(name: str, made: Made, **more: Any) -> tuple[str, list[Sample | BadSample]]:
    """What a loader says of a broken table, in one error or row by row; and the rows."""
    try:
        rows = loaded(name, made, **more)
    except UsageError as error:
        return str(error), []
    return " | ".join(row.reason for row in bad(rows)), rows


def changed(rows: list[dict[str, Any]], way: tuple[str, ...], value: Any) -> list[dict[str, Any]]:
    """The rows with another value in the first of them, at the end of this way."""
    rows = copy.deepcopy(rows)
    place: Any = rows[0]
    for step in way[:-1]:
        place = place[step]
    place[int(way[-1]) if isinstance(place, list) else way[-1]] = value
    return rows


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def made(name: str, tmp_path: Path) -> Made:
    return LAYOUTS[name](tmp_path / "data")


def test_it_says_where_it_comes_from_and_how_it_counts(name: str) -> None:
    cls: Any = registry.entry("datasets", name).load()
    assert cls.origin.page.startswith("https://")
    assert cls.failure_rule.startswith("Official: ")
    assert "Ours: " in cls.failure_rule
    assert cls.licence
    assert cls.paper.link
    assert sum(n for category, n in cls.published.items() if category) in (0, cls.published.get("", 0))


def test_its_default_judges_and_metrics_are_named(name: str, made: Made) -> None:
    data = registry.build("datasets", name, **made.arguments)
    assert set(data.judges) <= {"not-refused", "unsafe", "multiple-choice"}
    assert data.metrics == (("rate", "groups-passed") if name == "lvlm-safer" else ("rate",))


@pytest.mark.parametrize(
    ("name", "field"),
    [("lvlm-safer", "parts"), ("mis", "parts"), ("holisafe", "combinations"), ("vpi-bench", "agents")],
)
def test_nothing_is_no_choice(name: str, field: str, made: Made) -> None:
    with pytest.raises(ValueError, match=field):
        registry.build("datasets", name, **made.arguments, **{field: ()})


@pytest.mark.parametrize("name", NAMING)
@pytest.mark.parametrize("way_out", ["../outside.png", "/etc/outside.png", "C:\\outside.png", "a/../../../b.png"])
def test_a_name_that_leads_out_of_the_folder_costs_its_sample(name: str, made: Made, way_out: str) -> None:
    made.write(changed(made.rows, made.shows, way_out))
    rows = loaded(name, made)
    assert bad(rows)
    below = name == "vscbench" and way_out[0] in "/C"  # its names stand behind a category's: nothing there
    reason = "No such file" if below else "leads out of the data set's folder"
    assert all(reason in row.reason for row in bad(rows))
    assert good(rows)


ODD = ("x" * 5000, "a\0b.png", ".", "", "\ud800.png", None, 7, ["a.png"], {"path": "a.png"})


@pytest.mark.parametrize(
    ("name", "odd"),
    [(name, odd) for name in NAMING for odd in (ODD[:4] if name == "vscbench" else ODD)],  # CSV holds texts only
)
def test_a_name_that_no_disk_can_hold_costs_its_sample(name: str, made: Made, odd: Any) -> None:
    rows = changed(made.rows, made.shows, odd)
    made.table.write_bytes(packed(made.table, made.wrap(rows)) if odd != "\ud800.png" else _escaped(made, rows))
    found = loaded(name, made)
    assert bad(found)
    assert good(found)


def _escaped(made: Made, rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(made.wrap(rows)).encode()


@pytest.mark.parametrize("name", NAMES)
def test_a_text_of_two_megabytes_costs_its_row(name: str, made: Made) -> None:
    made.write(changed(made.rows, made.question, "x" * 2 * MAX_FIELD))
    if made.table.suffix == ".csv":  # csv's own limit comes first
        assert all(
            "larger than field limit" in row.reason or "characters" in row.reason for row in bad(loaded(name, made))
        )
    rows = loaded(name, made)
    assert bad(rows)
    assert all(len(row.reason) < 500 for row in bad(rows))


@pytest.mark.parametrize("broken", [b"", b"\0" * 40, b"{", b"[1, 2", b"null", b"[" * 100_000, b'[[1], 5, null, "x"]'])
def test_a_broken_table_is_a_clear_error_or_bad_rows(name: str, made: Made, broken: bytes) -> None:
    made.table.write_bytes(broken)
    first = {"mis": ("easy",), "lvlm-safer": ("multiple meaning",)}.get(name)
    reason, rows = told(name, made, **({"parts": first} if first else {}))
    assert made.table.name in reason or all(isinstance(row, BadSample) for row in rows)
    assert len(reason) < 1000


def test_a_missing_table_is_a_usage_error_for_the_rows_and_the_key(name: str, made: Made) -> None:
    made.table.unlink()
    data = registry.build("datasets", name, **made.arguments)
    looks: tuple[Callable[[Any], Any], ...] = (list, lambda data: data.key)
    for look in looks:
        with pytest.raises(UsageError, match=r"(?i)no such file|expected an object"):
            look(data)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    return {name: layout(tmp_path_factory.mktemp(name) / "data") for name, layout in LAYOUTS.items()}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_row_holds_it_gives_samples_bad_samples_or_a_usage_error(
    name: str, folders: dict[str, Made], data: st.DataObject
) -> None:
    made = folders[name]
    rows = copy.deepcopy(made.rows)
    for way in data.draw(st.lists(st.sampled_from(sorted(_ways(made.rows[0]))), min_size=1, max_size=3, unique=True)):
        with suppress(KeyError, IndexError, TypeError, ValueError):  # another change took the place away
            rows = changed(rows, way, data.draw(ANY))
    with suppress(UnicodeEncodeError, OverflowError, TypeError, ValueError, _polars()):  # no file can hold that
        table = packed(made.table, made.wrap(rows))
        made.table.write_bytes(table)
        _only_rows(name, made)


def _only_rows(name: str, made: Made) -> None:
    more = {"safe_too": True, "each": "pair"} if name == "beavertails" else {"pictures": "left out"}
    try:
        rows = loaded(name, made, **more)
    except UsageError:
        return
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    assert all(row.reason for row in bad(rows))
    assert all(row.chat.last_text.strip() and json.dumps(dict(row.meta)) for row in good(rows))


def _polars() -> type[Exception]:
    import polars as pl

    return pl.exceptions.PolarsError


def _ways(value: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to every value of a row."""
    if way:
        yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, each in inner:
        yield from _ways(each, (*way, str(step)))
