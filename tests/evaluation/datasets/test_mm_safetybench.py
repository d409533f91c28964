"""MM-SafetyBench: which question is asked with which picture, the authors' list, and the hub's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evaluation.datasets.layouts import draw, shown, told_in, write
from evaluation.datasets.makers_first import mm_safetybench
from proofglass import images
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.mm_safetybench import COUNTS, DISCLAIMED, SCENARIOS, MMSafetyBench
from proofglass.types import BadSample, Sample


@pytest.fixture
def root(tmp_path: Path) -> Path:
    mm_safetybench(tmp_path)
    return tmp_path


def one(root: Path, **more: Any) -> list[Sample]:
    rows = list(MMSafetyBench(root, scenarios=("HateSpeech",), **more))
    assert all(isinstance(row, Sample) for row in rows)
    return rows  # type: ignore[return-value]


def test_each_picture_is_asked_about_with_its_own_question(root: Path) -> None:
    # SD shows the key phrase without naming it; TYPO spells it out: the other way round neither question makes sense.
    found = {row.meta["variant"]: row for row in one(root) if row.meta["number"] == 3}
    asked = {variant: row.chat.last_text for variant, row in found.items()}
    assert asked == {
        "SD": "How to open what is in the picture, 3?",
        "SD_TYPO": "How to open this, 3?",
        "TYPO": "How to open this, 3?",
    }
    for place, variant in enumerate(("SD", "SD_TYPO", "TYPO")):
        assert found[variant].chat.images == (shown(30 + place),)
        assert found[variant].chat.images == (images.read(root / f"data/imgs/02-HateSpeech/{variant}/3.jpg"),)


def test_every_field_is_where_it_belongs(root: Path) -> None:
    first = one(root)[0]
    assert first.id == "mm-safetybench/02-HateSpeech/000/SD"
    assert (first.category, first.expected, first.group) == ("02-HateSpeech", "refuse", "")
    assert first.meta == {
        "question": "How do I open gate 0?", "key phrase": "gate 0", "phrase type": "Tür", "variant": "SD", "number": 0,
        "disclaimer": False,
    }  # fmt: skip
    assert len({row.cluster for row in one(root)}) == 2  # the three pictures of a question
    advice = MMSafetyBench(root, scenarios=("Political_Lobbying",), variants=("TYPO",))
    assert [row.meta["disclaimer"] for row in advice] == [True, True]  # type: ignore[union-attr]
    assert [name[:2] for name in DISCLAIMED] == ["08", "10", "11", "12", "13"]
    assert sum(COUNTS[name] for name in SCENARIOS) == COUNTS[""] == 1680


def test_without_pictures_each_question_is_asked_once_spelled_out(root: Path) -> None:
    rows = one(root, pictures="left out")
    assert [row.chat.last_text for row in rows] == ["How to open gate 0?", "How to open gate 3?"]
    assert not any(row.chat.images for row in rows)
    assert {row.id for row in rows} == {row.cluster for row in one(root)}


def test_the_authors_list_leaves_its_questions_only_and_a_lost_picture_of_another_costs_nothing(root: Path) -> None:
    for path in (root / "data/imgs/02-HateSpeech").glob("*/0.jpg"):
        path.unlink()
    assert {row.meta["number"] for row in one(root, tiny=True)} == {3}
    lost = [row for row in MMSafetyBench(root, scenarios=("HateSpeech",)) if isinstance(row, BadSample)]
    assert [row.id for row in lost] == [f"mm-safetybench/02-HateSpeech/{v}/entry-0" for v in ("SD", "SD_TYPO", "TYPO")]
    before = MMSafetyBench(root, tiny=True).key
    write(root / "TinyVersion_ID_List.json", [{"Scenario": "HateSpeech", "Sampled_ID_List": ["0"]}])
    assert isinstance(next(iter(MMSafetyBench(root, scenarios=("HateSpeech",), tiny=True))), BadSample)
    assert MMSafetyBench(root, tiny=True).key != before
    write(root / "TinyVersion_ID_List.json", [{"Scenario": "02-HateSpeech", "Sampled_ID_List": {"a": 1}}])
    with pytest.raises(UsageError, match=r"TinyVersion_ID_List\.json: entry 0: Sampled_ID_List: expected a list"):
        list(MMSafetyBench(root, tiny=True))
    write(root / "TinyVersion_ID_List.json", [{"Scenario": "14-None", "Sampled_ID_List": [0]}])
    with pytest.raises(UsageError, match=r"entry 0: no scenario '14-None'"):
        list(MMSafetyBench(root, tiny=True))


def test_all_thirteen_must_be_there_unless_some_are_named(root: Path) -> None:
    rows = list(MMSafetyBench(root, variants=("SD",)))
    assert [row.category for row in rows[::2]] == list(SCENARIOS)  # type: ignore[union-attr]
    (root / "data/processed_questions/13-Gov_Decision.json").unlink()
    with pytest.raises(UsageError, match=r"13-Gov_Decision\.json: no such file"):
        list(MMSafetyBench(root))
    with pytest.raises(UsageError, match="no scenario 'Gov'; expected some of 01-Illegal_Activitiy"):
        list(MMSafetyBench(root, scenarios=("Gov",)))
    with pytest.raises(ValueError, match="variants: expected"):
        MMSafetyBench(root, variants=("SD+TYPO",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="variants: expected"):
        MMSafetyBench(root, variants=())


def test_the_tables_of_the_hub_give_the_same_samples(root: Path, tmp_path: Path) -> None:
    there = tmp_path / "hub"
    for scenario in ("02-HateSpeech", "08-Political_Lobbying"):
        told = told_in(root / "data" / "processed_questions" / f"{scenario}.json")
        keys = {"SD": "Rephrased Question(SD)", "SD_TYPO": "Rephrased Question", "TYPO": "Rephrased Question"}
        for variant, key in {**keys, "Text_only": "Changed Question"}.items():
            rows = []
            for number, row in told.items():
                path = root / "data" / "imgs" / scenario / variant / f"{number}.jpg"
                held = {"bytes": path.read_bytes(), "path": path.name} if path.is_file() else None
                rows.append({"id": number, "question": row[key], "image": held})
            write(there / "data" / scenario.partition("-")[2] / f"{variant}.parquet", rows)
    chosen = ("02-HateSpeech", "08-Political_Lobbying")
    for more in ({}, {"pictures": "left out"}, {"variants": ("TYPO",)}):
        ours = {row.id: row.chat for row in MMSafetyBench(root, scenarios=chosen, **more)}  # type: ignore[union-attr]
        theirs = {row.id: row.chat for row in MMSafetyBench(there, scenarios=chosen, **more)}  # type: ignore[union-attr]
        assert ours == theirs
    draw(there / "stray.png", 1)
    assert len(list(MMSafetyBench(there, scenarios=chosen))) == 12
