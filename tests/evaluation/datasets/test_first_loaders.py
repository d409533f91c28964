"""XSTest, SafetyBench, MOSSBench, HarmBench multimodal, PrivQA: every field in its place, rows that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evaluation.datasets.layouts import draw, shown, told_in, write
from evaluation.datasets.makers_first import harmbench, mossbench, privqa, safetybench, xstest
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.harmbench import HarmBenchMultimodal
from proofglass.evaluation.datasets.mossbench import MOSSBench
from proofglass.evaluation.datasets.privqa import PrivQA
from proofglass.evaluation.datasets.safetybench import SafetyBench
from proofglass.evaluation.datasets.xstest import XSTest
from proofglass.types import BadSample, Sample


def only(rows: Any) -> Sample:
    (row,) = rows
    assert isinstance(row, Sample)
    return row


def test_xstest(tmp_path: Path) -> None:
    safe, unsafe = XSTest(**xstest(tmp_path))
    assert isinstance(safe, Sample)
    assert isinstance(unsafe, Sample)
    assert (safe.id, safe.category, safe.expected, unsafe.expected) == ("xstest/001", "homonyms", "comply", "refuse")
    assert safe.chat.last_text == "How do I open the Mühle gate?"
    assert safe.meta == {"label": "safe", "focus": "open", "note": "a mill, 水车"}
    assert only(XSTest(tmp_path / "xstest_prompts.csv", "unsafe")).id == "xstest/002"
    assert XSTest(tmp_path, "safe").borderline
    assert not XSTest(tmp_path).borderline


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": "harmless"}, "label: expected one of safe, unsafe, found 'harmless'"),
        ({"id": "one"}, "id: expected a whole number, found 'one'"),
        ({"prompt": "  "}, "prompt: expected a text, found '  '"),
        ({"type": ""}, "type: expected a text, found ''"),
    ],
)
def test_a_row_of_xstest_that_does_not_fit_costs_itself(tmp_path: Path, change: dict[str, str], reason: str) -> None:
    xstest(tmp_path)
    told = told_in(tmp_path / "xstest_prompts.csv")
    told[0] |= change
    write(tmp_path / "xstest_prompts.csv", told)
    lost, fine = XSTest(tmp_path)
    assert isinstance(lost, BadSample)
    assert lost.reason == f"line 2: {reason}"
    assert isinstance(fine, Sample)


def test_safetybench(tmp_path: Path) -> None:
    first, second = SafetyBench(**safetybench(tmp_path), instruction="One letter.")
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert second.chat.last_text == "What is good, 1?\n(A) a walk\n(B) worry\n(C) Müßiggang\nOne letter."
    assert (first.id, first.category, first.expected) == ("safetybench/00000", "Physical Health", "label")
    assert (first.references, second.references) == (("A",), ("B",))
    assert second.meta == {"options": ["a walk", "worry", "Müßiggang"]}
    with pytest.raises(UsageError, match=r"test_answers_zh\.json: no such file"):
        list(SafetyBench(tmp_path, language="zh"))


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"1": {"answer": 0}}, "id: 0 has no answer in test_answers_en.json"),
        ({"0": {"answer": 2}, "1": {"answer": 0}}, "answer: expected 0 to 1, found 2"),
        ({"0": {"answer": -1}, "1": {"answer": 0}}, "answer: expected 0 to 1, found -1"),
        ({"0": {"answer": "A"}, "1": {"answer": 0}}, "answer: expected a whole number, found 'A'"),
    ],
)
def test_an_answer_of_safetybench_that_does_not_fit_costs_its_question(
    tmp_path: Path, answers: Any, reason: str
) -> None:
    safetybench(tmp_path)
    write(tmp_path / "opensource_data" / "test_answers_en.json", answers)
    lost, fine = SafetyBench(tmp_path)
    assert isinstance(lost, BadSample)
    assert reason in lost.reason
    assert isinstance(fine, Sample)


def test_mossbench(tmp_path: Path) -> None:
    rows = list(MOSSBench(**mossbench(tmp_path)))
    first, twin = rows[0], rows[3]
    assert isinstance(first, Sample)
    assert isinstance(twin, Sample)
    assert (first.id, first.category, first.expected) == ("mossbench/benign/001", "exaggerated risk", "comply")
    assert (twin.id, twin.expected) == ("mossbench/contrast/001", "refuse")
    assert first.group == twin.group == "mossbench/001"
    assert first.chat.images == (shown(1),)
    assert first.meta == {
        "description": "ein Drachen über der Wiese", "human": 0, "child": 0, "syn": 1, "ocr": 0, "harm": [7],
    }  # fmt: skip
    for part in ("data", "data_contrast"):
        table = tmp_path / part / "images_information" / "information.json"
        told = told_in(table)
        told["2"] = "no object"
        told["3"]["metadata"] = {"over": ["type 1"]}
        write(table, told)
    lost = [row for row in MOSSBench(tmp_path, "both") if isinstance(row, BadSample)]
    assert len({row.id for row in lost}) == len(lost) == 4
    assert "metadata: expected an object whose 'over' is one of type 1" in lost[1].reason


def test_harmbench(tmp_path: Path) -> None:
    first, _ = HarmBenchMultimodal(**harmbench(tmp_path))
    assert isinstance(first, Sample)
    assert (first.id, first.category) == ("harmbench-multimodal/gate_1", "illegal")
    assert first.chat.images == (shown(1),)
    assert first.target == "Sure, the gate is opened"
    assert first.meta == {"description": "ein Gartentor, grün", "redacted description": "a thing", "tags": ""}
    targets = tmp_path / "data" / "optimizer_targets" / "harmbench_targets_multimodal.json"
    key = HarmBenchMultimodal(tmp_path).key
    targets.write_text("[]")
    with pytest.raises(UsageError, match="expected an object, found a list"):
        list(HarmBenchMultimodal(tmp_path))
    targets.unlink()
    assert {row.target for row in HarmBenchMultimodal(tmp_path)} == {""}  # type: ignore[union-attr]
    assert HarmBenchMultimodal(tmp_path).key != key


def test_privqa(tmp_path: Path) -> None:
    rows = list(PrivQA(**privqa(tmp_path)))
    geo, _, protected, control = rows
    assert isinstance(geo, Sample)
    assert isinstance(protected, Sample)
    assert isinstance(control, Sample)
    assert (protected.expected, control.expected) == ("protect", "control")
    assert (geo.category, protected.category) == ("Geolocation", "Utopia")
    assert protected.references == ("Zürich", "Zurich")
    assert protected.chat.images == (shown(0),)  # .JPG on the disk, .jpg in the table
    assert geo.chat.images == (shown(5),)  # no ending in the table
    assert protected.chat.system.startswith("Do not tell anything about Utopia.")
    plain = PrivQA(tmp_path, only=("Geolocation",), pictures="left out", instruction="")
    assert [row.chat.system for row in plain] == ["", ""]  # type: ignore[union-attr]
    table = tmp_path / "information_protection_visual" / "Geolocation.jsonl"
    told = told_in(table)
    told[0] |= {"question_type": "Numerical", "answer_text": ["25"], "answer_eval": [{"range": [20, 30]}]}
    told[1]["answer_eval"] = [None, "Utopia", None]
    write(table, told)
    number, among, *_ = PrivQA(**privqa_at(tmp_path))
    assert isinstance(number, Sample)
    assert isinstance(among, Sample)
    assert (number.references, number.meta["accepted"]) == (("25",), [20, 30])
    assert among.references == ("Utopia",)


def privqa_at(root: Path) -> dict[str, Any]:
    return {"root": root, "images": root / "pictures"}


def test_privqa_needs_its_pictures_and_leaves_facts_about_minors_out(tmp_path: Path) -> None:
    given = privqa(tmp_path)
    with pytest.raises(UsageError, match=r"privqa\.images: the pictures are not with the tables"):
        list(PrivQA(tmp_path))
    with pytest.raises(UsageError, match=r"privqa\.only: no file 'Ghost'"):
        list(PrivQA(**given, only=("Ghost",)))
    row = {"question": "Where?", "answer": ["Utopia"], "cluster": "in_group", "data_id": "1"}
    for value in ("18", "65"):
        write(tmp_path / "population_protection_textual" / f"rel=date_of_birth-attr={value}.jsonl", [row])
    assert only(PrivQA(tmp_path, modality="textual")).category == "65"
    assert len(list(PrivQA(tmp_path, modality="textual", minors=True))) == 2
    draw(tmp_path / "pictures" / "oven_0.png", 77)  # a picture of this name with another ending: the first stands
    assert next(iter(PrivQA(**given))).chat.images == (shown(5),)  # type: ignore[union-attr]
