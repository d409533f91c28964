"""The sketch and out-of-distribution challenges of Tu et al.: their layout in miniature, and the real files."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from proofglass import images, registry
from proofglass.errors import UsageError
from proofglass.types import BadSample, Image

SKETCH = {"image": "png/kite/1.png", "question": "Is there a kite in the picture?", "answer": "Yes"}
COUNT = {
    "image": "images/1.png",
    "question": "How many drums are there?",
    "answer": "B",
    "text_answer": "2",
    "options": ["A. 1", "B. 2"],
    "situation": "weather",
}
TASKS = {
    "unicorns-sketch": ("sketchy-vqa", ("sketchy-vqa.json", "sketchy-challenging.json"), SKETCH, "challenging"),
    "unicorns-ood": ("oodcv-vqa", ("oodcv-vqa.json", "oodcv-counterfactual.json"), COUNT, "counterfactual"),
}
both = pytest.mark.parametrize("name", TASKS)


def made(root, name, rows, table=0):
    folder, tables, row, _ = TASKS[name]
    home = root / "ood" / folder
    picture = home / row["image"]
    if not picture.exists():
        images.write(Image.from_array(np.full((4, 5, 3), 9, np.uint8)), picture)
    (home / tables[table]).write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return root


def load(root, name, **parameters):
    return registry.build("datasets", name, root=str(root), **parameters)


def test_a_sketch_question_has_its_sketch_and_yes_or_no(tmp_path):
    made(tmp_path, "unicorns-sketch", [SKETCH, {**SKETCH, "answer": "No", "question": "Is there a drum?"}])
    first, second = load(tmp_path, "unicorns-sketch")
    assert (first.references, second.references) == (("yes",), ("no",))
    assert first.chat.last_text == SKETCH["question"]
    assert (first.chat.images[0].width, first.chat.images[0].height) == (5, 4)
    assert (first.expected, first.id, second.id) == ("label", "sketchy-vqa/00000", "sketchy-vqa/00001")
    assert first.cluster == second.cluster == "png/kite/1.png"


def test_a_question_out_of_distribution_has_its_answer_option_and_situation(tmp_path):
    made(tmp_path, "unicorns-ood", [COUNT, {**COUNT, "text_answer": "No", "situation": "pose"}])
    first, second = load(tmp_path, "unicorns-ood")
    assert (first.references, second.references) == (("2",), ("No",))
    assert (first.category, second.category) == ("weather", "pose")
    assert first.meta["option"] == "B"
    assert first.meta["options"] == ["A. 1", "B. 2"]
    assert first.chat.last_text == COUNT["question"]  # without its options, as the authors ask it


@both
def test_the_harder_table_is_another_data_set_and_so_is_an_edited_one(tmp_path, name):
    row, harder = TASKS[name][2:]
    made(tmp_path, name, [row])
    made(tmp_path, name, [row, row], table=1)
    assert len(list(load(tmp_path, name))) == 1
    assert len(list(load(tmp_path, name, **{harder: True}))) == 2
    before = load(tmp_path, name).key
    assert load(tmp_path, name, **{harder: True}).key != before
    made(tmp_path, name, [row, row])
    assert load(tmp_path, name).key != before


@both
def test_the_root_may_be_the_data_or_the_tasks_own_folder(tmp_path, name):
    folder, _, row, _ = TASKS[name]
    made(tmp_path, name, [row])
    assert list(load(tmp_path, name)) == list(load(tmp_path / "ood" / folder, name))


@both
def test_a_bad_row_or_picture_costs_itself_and_says_why(tmp_path, name):
    row = TASKS[name][2]
    asked = "answer" if name == "unicorns-sketch" else "text_answer"
    rows = [row, {"image": "x"}, "text", {**row, asked: "maybe"}, {**row, "image": "gone.png"}]
    rows += [{**row, "image": "../../../secret.png"}]
    images.write(Image.from_array(np.zeros((2, 2, 3), np.uint8)), tmp_path.parent / "secret.png")
    fine, lacking, text, answer, gone, outside = load(made(tmp_path, name, rows), name)
    assert not isinstance(fine, BadSample)
    assert lacking.reason.startswith("entry 1: no question, ")
    assert text.reason.startswith("entry 2: no image, ")
    assert answer.reason.startswith(f"{asked}: expected")
    assert "'maybe'" in answer.reason
    assert "gone.png: cannot be read" in gone.reason
    assert "leads out of the data set's folder" in outside.reason


@both
def test_a_missing_or_broken_table_is_a_usage_error(tmp_path, name):
    for look in (list, lambda data: data.key):
        with pytest.raises(UsageError, match=r"\.json.*No such file"):
            look(load(tmp_path, name))
    with pytest.raises(UsageError, match=r"\.json:1: expected JSON"):
        list(load(made(tmp_path, name, "[{"), name))
    with pytest.raises(UsageError, match=r"\.json: expected a list of objects, found dict"):
        list(load(made(tmp_path, name, "{}"), name))


@pytest.mark.realdata
@both
def test_the_official_files_load(name):
    if not (root := os.environ.get("PROOFGLASS_REALDATA")):
        pytest.skip("PROOFGLASS_REALDATA is not set: the folder that holds unicorns/ood")
    folder, tables, *_ = TASKS[name]
    if not (Path(root) / "unicorns" / "ood" / folder / tables[0]).is_file():
        pytest.skip(f"no {tables[0]} in {root}/unicorns/ood/{folder}")
    rows = list(load(Path(root) / "unicorns", name))
    assert len({row.id for row in rows}) == len(rows) > 0
    reasons = {row.reason for row in rows if isinstance(row, BadSample)}
    assert all("cannot be read" in reason for reason in reasons)  # pictures are a download of their own
