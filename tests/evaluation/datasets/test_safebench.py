"""SafeBench: the authors' layout, in miniature and harmless, and the real files where they are."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from evaluation.datasets import makers_first
from evaluation.datasets.layouts import shown
from proofglass import images, registry
from proofglass.errors import UsageError
from proofglass.evaluation.datasets import figstep_pro
from proofglass.evaluation.datasets.reading import read_csv
from proofglass.evaluation.datasets.safebench import SafeBench
from proofglass.images.typography import incitement
from proofglass.types import BadSample, Image

HEADER = "dataset,category_id,task_id,category_name,question,instruction"
ROWS = [
    "ForbidQI,10,1,Tea,How is tea made?,Steps to make tea.",
    "ForbidQI,1,10,Bread,How is rye bread baked?,Steps to bake rye bread.",
    'ForbidQI,1,2,Bread,"How is bread baked, at home?",Steps to bake bread.',
]


def made(tmp_path, rows=ROWS, header=HEADER, name="safebench.csv", end="\n", mark=b""):
    folder = tmp_path / "data" / "question"
    folder.mkdir(parents=True, exist_ok=True)
    text = end.join([header, *rows, ""])
    (folder / name).write_bytes(mark + text.encode())
    return tmp_path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_rows_come_in_the_order_of_their_numbers_whatever_the_line_ends(tmp_path, end, mark):
    found = list(SafeBench(made(tmp_path, end=end, mark=mark)))
    assert [s.id for s in found] == ["query_ForbidQI_1_2", "query_ForbidQI_1_10", "query_ForbidQI_10_1"]
    first = found[0]
    assert first.chat.last_text == "How is bread baked, at home?"
    assert first.meta["instruction"] == "Steps to bake bread."
    assert (first.category, first.expected, first.dataset, first.split) == (
        "Bread",
        "refuse",
        "safebench",
        "test",
    )
    assert [s.meta["advice"] for s in found] == [False, False, True]
    assert not first.chat.images


def test_the_root_may_be_the_repository_or_its_data_folder(tmp_path):
    root = made(tmp_path)
    assert list(SafeBench(root)) == list(SafeBench(root / "data")) == list(SafeBench(str(root)))


def test_tiny_and_other_file_names(tmp_path):
    root = made(tmp_path, ROWS[:1], name="SafeBench-Tiny.csv", end="\r\n")
    made(tmp_path, ROWS[:2], name="mine.csv")
    assert len(list(SafeBench(root, tiny=True))) == 1
    assert len(list(SafeBench(root, questions="mine.csv"))) == 2


def test_categories_are_chosen_by_number_or_name(tmp_path):
    root = made(tmp_path)
    assert {s.category for s in SafeBench(root, categories=(10,))} == {"Tea"}
    assert {s.category for s in SafeBench(root, categories="Bread")} == {"Bread"}
    assert {s.category for s in SafeBench(root, categories=["Bread", 10])} == {"Bread", "Tea"}
    with pytest.raises(UsageError, match=r"safebench\.categories: no category 'Bred'.*Did you mean 'Bread'\?"):
        list(SafeBench(root, categories=("Bred",)))


def test_a_missing_column_names_file_column_and_what_was_found(tmp_path):
    root = made(tmp_path, header=HEADER.replace("instruction", "imperative"))
    with pytest.raises(UsageError, match=r"safebench\.csv: no column 'instruction'; expected .*; found .*imperative"):
        list(SafeBench(root))


def test_a_malformed_row_costs_itself_and_names_its_line(tmp_path):
    rows = [
        ROWS[0],
        "ForbidQI,1,3,Bread",
        ROWS[1],
        "ForbidQI,one,2,Bread,q,i",
        "",
        ROWS[2],
        "ForbidQI,\u00b2,2,Bread,q,i",  # a digit to Unicode, and nothing that int takes
        "ForbidQI," + "9" * 5000 + ",2,Bread,q,i",  # more digits than int takes
        'ForbidQI,1,4,B,"open',
    ]
    found = list(SafeBench(made(tmp_path, rows)))
    bad = [s for s in found if isinstance(s, BadSample)]
    assert len(found) - len(bad) == 3
    fields, numbers, *odd, quote = (b.reason for b in bad)
    assert fields == "line 3: expected 6 fields, found 4"
    assert bad[1].id == "query_ForbidQI_one_2"
    assert numbers == "category_id, task_id: expected numbers, found 'one', '2'"
    assert all(reason.startswith("category_id, task_id: expected numbers, found") for reason in odd)
    assert len(odd) == 2
    assert quote == "line 10: unexpected end of data"


def test_a_quoted_line_break_is_one_row_and_lines_are_still_counted(tmp_path):
    rows = ['ForbidQI,1,1,B,"two\nlines",i', "short"]
    path = made(tmp_path, rows) / "data/question/safebench.csv"
    first, second = read_csv(path, ["question"], "x")
    assert first["question"] == "two\nlines"
    assert second.reason.startswith("line 4: expected 6 fields, found 1")


def test_another_encoding_and_a_missing_file_are_usage_errors(tmp_path):
    path = made(tmp_path) / "data/question/safebench.csv"
    path.write_bytes(HEADER.encode() + b"\nF,1,1,B,caf\xe9,i\n")
    with pytest.raises(UsageError, match="expected UTF-8, found another encoding at byte"):
        list(SafeBench(tmp_path))
    path.unlink()
    for look in (list, lambda data: data.key):
        with pytest.raises(UsageError, match=r"safebench\.csv.*No such file"):
            look(SafeBench(tmp_path))


def test_official_pictures_are_shown_as_published_and_a_missing_one_costs_its_row(tmp_path):
    root = made(tmp_path)
    picture = Image.from_array(np.full((5, 4, 3), 7, np.uint8))
    images.write(picture, root / "data/images/SafeBench/query_ForbidQI_1_2_6.png")
    (root / "data/images/SafeBench/query_ForbidQI_1_10_6.png").write_text("no picture")
    fine, broken, gone = SafeBench(root, pictures="official")
    assert fine.chat.images == (picture,)
    assert fine.chat.last_text == incitement(3)
    assert fine.meta["question"] == "How is bread baked, at home?"
    assert "query_ForbidQI_1_10_6.png: not a picture" in broken.reason
    assert "query_ForbidQI_10_1_6.png: cannot be read" in gone.reason
    (other, *_) = SafeBench(root, pictures="official", prompt="look .")
    assert other.chat.last_text == "look ."


def test_an_edited_table_is_another_data_set(tmp_path):
    data = SafeBench(made(tmp_path))
    before = data.key
    made(tmp_path, ROWS[:2])
    assert data.key != before


def test_the_registry_builds_it(tmp_path):
    assert registry.build("datasets", "safebench", root=str(tmp_path)) == SafeBench(tmp_path)
    with pytest.raises(ValueError, match="pictures: expected none, official or pro, found 'all'"):
        SafeBench(tmp_path, pictures="all")


@pytest.mark.realdata
def test_the_official_files_load():
    if not (root := os.environ.get("PROOFGLASS_REALDATA")):
        pytest.skip("PROOFGLASS_REALDATA is not set: the folder that holds figstep/data")
    folder = Path(root) / "figstep"
    if not (folder / "data/question/safebench.without-category-6.csv").is_file():
        pytest.skip(f"no safebench.without-category-6.csv in {folder / 'data/question'}")
    full = list(SafeBench(folder, questions="safebench.without-category-6.csv"))
    tiny = list(SafeBench(folder, tiny=True, questions="SafeBench-Tiny.without-category-6.csv"))
    assert (len(full), len(tiny)) == (450, 45)
    assert len({s.id for s in full}) == 450
    assert not any(isinstance(s, BadSample) for s in full + tiny)
    assert all(sum(s.category == c for s in full) == 50 for c in {s.category for s in full})
    assert [s.id for s in full][9:11] == ["query_ForbidQI_1_10", "query_ForbidQI_1_11"]
    by_id = {s.id: s for s in full}
    assert all(by_id[s.id].chat == s.chat for s in tiny)
    shown = list(SafeBench(folder, tiny=True, questions="SafeBench-Tiny.without-category-6.csv", pictures="official"))
    there = [s for s in shown if not isinstance(s, BadSample)]
    assert {s.id for s in there} == {f"query_ForbidQI_{k}" for k in ("8_4", "9_1", "10_1")}
    assert all((s.chat.images[0].width, s.chat.images[0].height) == (760, 760) for s in there)


def pro(tmp_path, **more):
    made_by = makers_first.safebench(tmp_path)
    return SafeBench(**{**made_by, "pictures": "pro", **more})


def test_figstep_pro_shows_the_pieces_in_the_order_of_their_numbers_with_the_sentence_around_them(tmp_path):
    rows = list(pro(tmp_path))
    assert [len(s.chat.images) for s in rows] == [11, 11] + [3] * 8
    # split_10 comes last, not behind split_1, and not first, as in the zip file.
    assert list(rows[0].chat.images) == [shown(j) for j in range(11)]
    assert list(rows[5].chat.images) == [shown(100 + j) for j in range(3)]
    assert rows[5].id == "query_ForbidQI_2_1"
    assert rows[5].chat.last_text.startswith("Steps to open the *, of garden 5, grün\n1.\n")  # its comma is no column
    (other, *_) = pro(tmp_path / "again", prompt="complete: {sentence}")
    assert other.chat.last_text == "complete: Steps to open the *, of garden 0, grün"


def test_an_unpacked_folder_gives_the_same_and_rows_left_out_move_nothing(tmp_path):
    before = list(pro(tmp_path))
    with zipfile.ZipFile(tmp_path / "images/FigStep-Pro/sub-figures.zip") as archive:
        archive.extractall(tmp_path / "images/FigStep-Pro/sub-figures")
    (tmp_path / "images/FigStep-Pro/sub-figures.zip").unlink()
    table = tmp_path / "question/SafeBench-Tiny.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *lines[3:]]))
    assert list(pro_at(tmp_path)) == before[2:]


def pro_at(root):
    return SafeBench(root, tiny=True, pictures="pro")


def test_a_missing_piece_costs_its_prompt_and_a_missing_sentence_all_of_them(tmp_path):
    list(pro(tmp_path))
    place = tmp_path / "images/FigStep-Pro/sub-figures.zip"
    with zipfile.ZipFile(place) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if name != "image_7_splits/image_7_split_1.png"}
    with zipfile.ZipFile(place, "w") as archive:
        for name, data in kept.items():
            archive.writestr(name, data)
    (lost,) = [row for row in pro_at(tmp_path) if isinstance(row, BadSample)]
    assert lost.id == "query_ForbidQI_2_3"
    assert "image_7_splits: expected pictures 0, 1, ... without a gap, found 0, 2" in lost.reason
    table = tmp_path / "question" / figstep_pro.SENTENCES
    text = table.read_text().splitlines()
    table.write_text("\n".join([*text[:3], "", *text[4:]]))
    with pytest.raises(UsageError, match="line 4: empty; row k is the sentence of picture k"):
        list(pro_at(tmp_path))
    table.write_text("\r\n".join(["\ufeffsentence", *text[1:9]]), encoding="utf-8")
    lost = [row for row in pro_at(tmp_path) if isinstance(row, BadSample)]
    assert [row.reason.rpartition(": ")[2] for row in lost[1:]] == [
        f"no row {k}, the sentence around this phrase" for k in (9, 10)
    ]
    place.unlink()
    with pytest.raises(UsageError, match="neither the zip file of FigStep-Pro's sub-figures nor a folder"):
        list(pro_at(tmp_path))


def test_figstep_pro_has_the_tiny_set_only(tmp_path):
    with pytest.raises(ValueError, match="pictures: FigStep-Pro has the 50 questions of SafeBench-Tiny only"):
        SafeBench(tmp_path, pictures="pro")
    with pytest.raises(ValueError, match="has tasks 1 to 5 of each, found 1, 6"):
        figstep_pro.place_of(1, 6)
    assert [figstep_pro.place_of(*pair) for pair in ((1, 1), (1, 5), (2, 1), (10, 5))] == [0, 4, 5, 49]


@pytest.mark.realdata
def test_the_official_pieces_of_three_prompts_and_all_sentences_load():
    if not (root := os.environ.get("PROOFGLASS_REALDATA")):
        pytest.skip("PROOFGLASS_REALDATA is not set: the folder that holds figstep/data")
    folder = Path(root) / "figstep"
    table, pieces = "SafeBench-Tiny.without-category-6.csv", "sub-figures.three-prompts.zip"
    if not (folder / "data/images/FigStep-Pro" / pieces).is_file():
        pytest.skip(f"no {pieces} in {folder}")
    around = figstep_pro.sentences(folder / "data/question" / figstep_pro.SENTENCES)
    assert len(around) == 50
    assert all("*" in sentence for sentence in around)
    assert sum("," in sentence for sentence in around) == 1  # without quotes: a CSV reader would cut it short
    rows = list(SafeBench(folder, tiny=True, questions=table, pictures="pro", pieces=pieces))
    there = {s.id: len(s.chat.images) for s in rows if not isinstance(s, BadSample)}
    assert there == {"query_ForbidQI_9_1": 4, "query_ForbidQI_9_2": 3, "query_ForbidQI_10_1": 4}
    assert len(rows) == 45
    by_id = {s.id: s for s in rows}
    assert by_id["query_ForbidQI_9_2"].chat.last_text.startswith(around[41])
