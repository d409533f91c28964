"""A row that no file could hold costs itself, whatever field it stands in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proofglass import api
from proofglass.interfaces import Dataset
from proofglass.records.store import Store
from proofglass.studies.rows import sound
from proofglass.types import BadSample, Chat, Sample
from scripted_plugs import EchoVictim, NoDefense, Plain, SaysYes, noise

HALF = "half \ud83d"


def good(**changed: Any) -> Sample:
    return Sample(**{"id": "s", "dataset": "d", "chat": Chat.user(noise("p"), "why?"), **changed})


@pytest.mark.parametrize(
    "changed",
    [{name: HALF} for name in ("id", "dataset", "split", "cluster", "category", "expected", "target")]
    + [
        {"chat": Chat.user(HALF)},
        {"chat": Chat.user("why?").with_system(HALF)},
        {"references": ("a", HALF)},
        {"meta": {"a": [{"b": HALF}]}},
        {"meta": {HALF: 1}},
    ],
    ids=lambda changed: "-".join(changed).encode("ascii", "replace").decode(),
)
def test_half_a_character_anywhere_in_a_sample_makes_it_a_bad_row_that_says_where(changed: dict[str, Any]) -> None:
    row = sound(good(**changed))
    assert isinstance(row, BadSample)
    assert row.reason.startswith(f"{next(iter(changed))}: holds half a character: 'half \\\\ud83d'")
    assert "".join([row.id, row.dataset, row.category, row.reason]).encode()  # UTF-8 can hold it


@pytest.mark.parametrize(("field", "value"), [("category", float("nan")), ("target", None), ("id", 7), ("split", b"t")])
def test_a_field_that_is_no_text_makes_a_bad_row(field: str, value: Any) -> None:
    # a table that pandas read has NaN where a field is empty; the records' columns hold texts only
    row = sound(good(**{field: value}))
    assert isinstance(row, BadSample)
    assert row.reason == f"{field}: expected a text, found {value!r}"


def test_a_sound_sample_stays_itself_and_a_bad_one_becomes_legible() -> None:
    sample = good(category="é\x00", meta={"n": 1, "odd": object()})
    assert sound(sample) is sample
    assert sound(BadSample(HALF, "d", "", HALF)) == BadSample(
        "half \\ud83d", "d", "the data set gives no reason", "half \\ud83d"
    )


@dataclass(frozen=True)
class Odd(Dataset):
    name = "odd"

    def __iter__(self) -> Iterator[Sample | BadSample]:
        yield good(id="a")
        yield good(id=HALF)
        yield good(id="b", category=HALF)
        yield good(id="c", references=(HALF,))
        yield BadSample("d", "odd", "", HALF)
        yield good(id="\x00")
        yield good(id="../../../tmp/e")


def test_odd_rows_cost_themselves_and_not_their_cell(tmp_path: Path) -> None:
    rates = api.measure(EchoVictim(), Plain(), Odd(), NoDefense(), [SaysYes()], out=tmp_path / "run")
    assert (rates["not-refused"].n, rates["not-refused"].failed) == (3, 4)
    frame = Store(tmp_path / "run").frame()
    assert frame["sample_id"].to_list() == ["a", "half \\ud83d", "b", "c", "d", "\x00", "../../../tmp/e"]
    assert [reason.partition(":")[0] for reason in frame["reason"]] == [
        "", "id", "category", "references", "the data set gives no reason", "", "",
    ]  # fmt: skip


def test_every_id_is_a_readable_member_inside_the_log(tmp_path: Path) -> None:
    pytest.importorskip("inspect_ai", reason="needs: pip install inspect-ai")
    import zipfile

    from inspect_ai.log import read_eval_log

    from proofglass.inspect_ext.export import export
    from proofglass.inspect_ext.messages import inspect_id

    api.measure(EchoVictim(), Plain(), Odd(), NoDefense(), [SaysYes()], out=tmp_path / "run")
    (path,) = export(Store(tmp_path / "run"), tmp_path / "logs").logs
    members = [name for name in zipfile.ZipFile(path).namelist() if name.startswith("samples/")]
    assert len(members) == 7
    assert all(name.count("/") == 1 and "\x00" not in name for name in members)
    found = read_eval_log(str(path)).samples or []
    assert {s.metadata["sample_id"] for s in found} == set(Store(tmp_path / "run").frame()["sample_id"])
    assert {s.id for s in found} >= {"a", "%00", "..%2F..%2F..%2Ftmp%2Fe"}
    assert inspect_id("50%") == "50%25" != inspect_id("50%25")
    assert inspect_id("images/query_1.jpg#2") == "images/query_1.jpg#2"
    assert [inspect_id(name) for name in ("/a", "a//b", "a/.", "..")] == ["%2Fa", "a%2F%2Fb", "a%2F.", ".."]
    long = [inspect_id(f"{'é' * 5000}{k}") for k in range(2)]
    assert len(set(long)) == 2
    assert all(len(name.encode()) <= 200 for name in long)
